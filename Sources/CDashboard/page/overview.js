import { call, get, maybe, listen } from "./api.js";
import { chart } from "./charts.js";
import { askReason, count, dollars, h, link, say, table, tile, trying } from "./dom.js";
import { requestRow, requestHeadings } from "./watch.js";

const ago = (hours) => encodeURIComponent(new Date(Date.now() - hours * 3600e3).toISOString().slice(0, 19) + "Z");

/** One value for each of the last `spans` minutes or days, those without requests included. */
function filled(lines, spans, milliseconds) {
  const byTime = new Map(lines.map((line) => [line.time, line]));
  const last = Math.floor(Date.now() / milliseconds) * milliseconds;
  return Array.from({ length: spans }, (_, i) => {
    const time = new Date(last - (spans - 1 - i) * milliseconds).toISOString();
    return { time, requests: 0, refused: 0, failed: 0, cost_usd: "0", mean_duration_us: 0, ...byTime.get(time) };
  });
}

export async function overview(main, signal) {
  const [status, minutes, days, models, alerts, latest, vault] = await Promise.all([
    get("status"), maybe(`usage?span=minute&from=${ago(1)}`), maybe(`usage?span=day&from=${ago(24 * 30)}`),
    maybe(`usage?span=day&from=${ago(24)}&by=provider,model`), maybe("alerts?state=open"), maybe("activity?limit=10"), maybe("vault"),
  ]);
  const urgent = alerts?.filter((alert) => alert.severity !== "info" && !alert.silenced);
  const today = days?.find((line) => line.time.slice(0, 10) === new Date().toISOString().slice(0, 10));
  const hour = filled(minutes ?? [], 60, 60e3);
  const sum = (name) => hour.reduce((total, line) => total + Number(line[name]), 0);
  const perMinute = tile("Requests, this minute", count(hour.at(-1).requests));
  const live = perMinute.querySelector("dd");
  const requests = sum("requests");
  main.append(
    h("h1", {}, "Overview"),
    h("div", { class: "tiles" },
      tile("State", status.sealed ? "sealed" : "serving", status.sealed ? "bad" : "good"),
      perMinute,
      tile("Requests today", count(today?.requests)),
      tile("Spent today", dollars(today?.cost_usd)),
      tile("Refused, last hour", requests ? `${(100 * sum("refused") / requests).toFixed(1)} %` : "—"),
      tile("Failed, last hour", requests ? `${(100 * sum("failed") / requests).toFixed(1)} %` : "—", sum("failed") ? "warn" : ""),
      tile("Mean time, today", today ? `${(today.mean_duration_us / 1000).toFixed(0)} ms` : "—"),
      urgent && tile("Open alerts", count(urgent.length), urgent.length ? "bad" : "")),
  );
  if (status.tampered_keys.length || status.tampered_providers.length) {
    main.append(h("p", { class: "bad" }, "Records were changed outside maskllm and are not used: ",
      [...status.tampered_keys, ...status.tampered_providers].join(", ")));
  }
  if (minutes) {
    const monthly = filled(days ?? [], 30, 86400e3);
    main.append(h("div", { class: "two" },
      chart("Requests per minute", "bar", hour.map((line) => line.time.slice(11, 16)), [
        { label: "passed", color: "--good", values: hour.map((line) => line.requests - line.refused - line.failed) },
        { label: "refused", color: "--warn", values: hour.map((line) => line.refused) },
        { label: "failed", color: "--bad", values: hour.map((line) => line.failed) },
      ]),
      chart("Dollars per day", "bar", monthly.map((line) => line.time.slice(5, 10)), [
        { label: "dollars", color: "--accent", values: monthly.map((line) => Number(line.cost_usd)) },
      ])));
  }
  if (models) {
    main.append(h("h2", {}, "Models of the last day"), table("Models of the last day", ["Provider", "Model", "Requests", "Dollars", "Mean ms"],
      models.filter((line) => line.model).slice(0, 10).map((line) => [line.provider, line.model, count(line.requests), dollars(line.cost_usd),
        (line.mean_duration_us / 1000).toFixed(0)]), [2, 3, 4]));
  }
  const rows = table("Latest requests", requestHeadings, []);
  const body = rows.querySelector("tbody");
  if (latest?.length) body.replaceChildren(...latest.map(requestRow));
  main.append(h("h2", {}, "Latest requests ", link("#/live", "(all)")), rows);
  if (vault) {
    main.append(h("h2", {}, "Emergency"), h("p", { class: "row" }, h("button", {
      class: "danger", type: "button",
      onclick: trying(async () => {
        const reason = await askReason("Seal the vault", "Nothing is served from then on, streams in flight are cut, and the real keys leave the memory. "
          + "Only 'maskllm unseal' on the machine opens it again; this page does not.", "Seal");
        if (reason === null) return;
        const receipt = await call("POST", "seal", { reason });
        say(`Sealed. Told: ${receipt.told.join(", ") || "nobody"}`);
        main.replaceChildren(h("h1", {}, "Sealed"), h("p", { class: "bad" }, "Nothing is served until 'maskllm unseal' on the machine."));
      }),
    }, "Seal the vault")));
  }
  let seen = hour.at(-1).requests;
  let minute = Math.floor(Date.now() / 60e3);
  listen((name, data) => {
    if (Math.floor(Date.now() / 60e3) !== minute) [minute, seen] = [Math.floor(Date.now() / 60e3), 0];
    seen += name === "request" ? 1 : data;
    live.textContent = count(seen);
    if (name !== "request") return;
    if (body.querySelector("td[colspan]")) body.replaceChildren();
    body.prepend(requestRow(data));
    while (body.children.length > 10) body.lastChild.remove();
  }, signal);
}
