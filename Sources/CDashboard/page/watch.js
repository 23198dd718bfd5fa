import { call, get, listen, page } from "./api.js";
import { count, dollars, field, h, link, moment, say, table, trying } from "./dom.js";

export const requestHeadings = ["Time", "Key", "Provider", "Model", "Status", "Outcome", "Tokens", "Dollars", "ms"];

export function requestRow(r) {
  const kind = r.outcome === "completed" && r.status < 400 ? "good" : r.outcome === "refused" ? "warn" : "bad";
  return h("tr", {}, [
    moment(r.at), r.key ? link(`#/keys/${r.key}`, r.key) : "—", r.provider || "—", r.model || "—", `${r.status || "—"}`,
    h("span", { class: kind }, r.code || r.outcome), count((r.input_tokens ?? 0) + (r.output_tokens ?? 0)), r.cost_usd ? dollars(r.cost_usd) : "—",
    `${Math.round(r.duration_us / 1000)}`,
  ].map((cell) => h("td", {}, cell)));
}

export async function live(main, signal) {
  const refusedOnly = h("input", { type: "checkbox" });
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => pause.setAttribute("aria-pressed", `${!isPaused()}`) }, "Pause");
  const isPaused = () => pause.getAttribute("aria-pressed") === "true";
  const rows = table("Requests as they are recorded", requestHeadings, []);
  const body = rows.querySelector("tbody");
  const show = (r, isNew) => {
    if (refusedOnly.checked && r.outcome !== "refused") return;
    if (body.querySelector("td[colspan]")) body.replaceChildren();
    if (isNew) body.prepend(requestRow(r)); else body.append(requestRow(r));
    while (body.children.length > 200) body.lastChild.remove();
  };
  const more = h("p", { class: "faint", "aria-live": "off" });
  main.append(h("h1", {}, "Live"), h("p", { class: "row" }, pause, h("label", { class: "check" }, refusedOnly, "only refusals")), more, rows);
  for (const r of (await get("activity?limit=50"))) show(r, false);
  listen((name, data) => {
    if (isPaused()) return;
    if (name === "request") show(data, true); else more.textContent = `${count(data)} more in the last moment: too many to show`;
  }, signal);
}

export async function audit(main) {
  const state = await get("audit/state");
  const verdict = h("p", {});
  const show = (s) => verdict.replaceChildren(s.broken_at
    ? h("strong", { class: "bad" }, `Entry ${s.broken_at} is not what it was: ${s.broken_because}`)
    : h("span", { class: "good" }, s.verified_at ? `All ${count(s.verified_up_to)} entries are as they were written, seen ${s.verified_at.slice(0, 19).replace("T", " ")}.`
      : `Verified up to entry ${count(s.verified_up_to)} of ${count(s.last_number)} so far.`),
    ` Checkpoints are kept up to entry ${count(s.checkpointed)}${s.checkpoint_trouble ? `; trouble: ${s.checkpoint_trouble}` : ""}.`,
    ...(s.write_trouble ? [h("strong", { class: "bad" }, ` Acts are refused, since they cannot be written down: ${s.write_trouble}`)] : []));
  show(state);
  const act = h("input", { autocomplete: "off", placeholder: "key.revoke" });
  const subject = h("input", { autocomplete: "off", placeholder: "key/ID" });
  const rows = h("div", {});
  async function load(query) {
    const { entries, next } = await page(`audit${query}`);
    rows.append(table("What was done", ["Number", "At", "By", "Act", "Subject", "Details"], entries.map((e) => [
      count(e.number), moment(e.at), e.actor, e.act, e.subject.startsWith("key/") ? link(`#/keys/${e.subject.slice(4, 16)}`, e.subject) : e.subject,
      Object.entries(e.details).map(([name, value]) => `${name}: ${value}`).join(", "),
    ]), [0]));
    if (next) rows.append(h("button", { type: "button", onclick: (event) => { event.target.remove(); load(next); } }, "Earlier"));
  }
  main.append(h("h1", {}, "Audit"), verdict,
    h("p", { class: "row" }, h("button", {
      type: "button",
      onclick: trying(async () => {
        show(await call("POST", "audit/verifications"));
        say("The record was followed from its beginning");
      }),
    }, "Verify now")),
    h("p", { class: "faint" }, "The log's first key, to be kept elsewhere: ", h("code", {}, state.first_public_key)),
    h("form", {
      class: "row", role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        rows.replaceChildren();
        const query = new URLSearchParams([["act", act.value], ["subject", subject.value]].filter(([, value]) => value));
        load(`?${query}`).catch((problem) => say(problem.message, true));
      },
    }, field("Act", act), field("Subject", subject), h("button", { type: "submit" }, "Find")), rows);
  await load("?limit=50");
}
