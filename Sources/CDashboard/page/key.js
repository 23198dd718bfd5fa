import { call, get, maybe } from "./api.js";
import { chart } from "./charts.js";
import { askReason, count, dialog, dollars, facts, field, h, moment, say, table, trying } from "./dom.js";
import { showSecret, stateText } from "./keys.js";
import { requestHeadings, requestRow } from "./watch.js";

/** A policy in words. */
function explained(policy) {
  const all = (list) => !list || (list.length === 1 && list[0] === "*");
  const said = (list, some, every) => (all(list) ? every : `${some} ${list.join(", ")}`);
  const lines = [
    said(policy.providers, "Only providers", "Every provider"), said(policy.models, "Only models", "Every model"),
    policy.denied_models?.length ? `Not models ${policy.denied_models.join(", ")}` : null,
    said(policy.endpoints, "Only endpoints", "Every endpoint"), policy.paths && `Only paths ${policy.paths.join(", ")}`,
    said(policy.networks, "Only from", "From anywhere"), policy.hours && `Only ${policy.hours.join(", ")}`,
    policy.not_before && `Not before ${policy.not_before}`, policy.body_bytes_max && `Bodies of at most ${count(policy.body_bytes_max)} bytes`,
    policy.output_tokens_max && `Answers of at most ${count(policy.output_tokens_max)} tokens`,
    ...Object.entries(policy.limits ?? {}).map(([name, n]) => `At most ${count(n)} ${name.replaceAll("_", " ")}`),
    ...(policy.model_limits ?? []).flatMap((m) => Object.entries(m.limits).map(([name, n]) => `For ${m.models.join(", ")}: at most ${count(n)} ${name.replaceAll("_", " ")}`)),
  ];
  return h("ul", {}, lines.filter(Boolean).map((line) => h("li", {}, line)));
}

function receipt(told) {
  return dialog("Receipt", (close) => [
    facts([["Receipt", h("code", {}, told.receipt)], ["At", moment(told.at)], ["Revoked", told.revoked.join(", ")], ["Had ended before", told.revoked_before.join(", ")],
      ["In force after", `${count(told.in_force_after_us)} µs`], ["On", told.acknowledged.map((n) => `${n.node} (${n.event_loops} event loops)`).join(", ")], ["Reason", told.reason]]),
    h("button", { type: "button", onclick: close }, "Close"),
  ]);
}

export async function key(main, signal, id) {
  const k = await get(`keys/${id}`);
  const again = async () => { main.replaceChildren(); await key(main, signal, id); };
  const isOver = ["revoked", "destroyed"].includes(k.state);
  const buttons = [
    !isOver && h("button", {
      type: "button",
      onclick: trying(async () => {
        let grace = null;
        await dialog("Rotate", (close) => {
          const hours = h("input", { type: "number", min: 0, max: 720, value: "24", required: true });
          return h("form", { onsubmit: (event) => { event.preventDefault(); grace = Number(hours.value) * 3600; close(); } },
            h("p", {}, "The key gets a new secret; the old one goes on for a while."), field("Hours that the old secret goes on for", hours),
            h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Rotate"), h("button", { type: "button", onclick: close }, "Cancel")));
        });
        if (grace === null) return;
        await showSecret(await call("POST", `keys/${id}/rotate`, { grace_seconds: grace }), "The new secret");
        await again();
      }),
    }, "Rotate"),
    k.state === "active" && h("button", {
      type: "button",
      onclick: trying(async () => {
        const reason = await askReason("Disable", "The key is refused until somebody enables it.", "Disable");
        if (reason) { await call("POST", `keys/${id}/disable`, { reason }); await again(); }
      }),
    }, "Disable"),
    k.state === "disabled" && h("button", { type: "button", onclick: trying(async () => { await call("POST", `keys/${id}/enable`); await again(); }) }, "Enable"),
    !isOver && h("button", {
      class: "danger", type: "button",
      onclick: trying(async () => {
        const reason = await askReason("Revoke", "The key ends at once and for good; its streams are cut.", "Revoke");
        if (!reason) return;
        await receipt(await call("POST", "revocations", { keys: [id], reason }));
        await again();
      }),
    }, "Revoke"),
  ].filter(Boolean);
  main.append(h("h1", {}, k.name), h("p", { class: "row" }, buttons),
    facts([["ID", h("code", {}, k.id)], ["State", stateText(k)], ["Why", k.reason], ["Team", k.team], ["Shared policy", k.shared_policy], ["Tags", k.tags.join(", ")],
      ["Made", moment(k.created_at)], ["Ends", k.expires_at && moment(k.expires_at)], ["Last used", moment(k.last_used_at)],
      ["Next rotation", k.next_rotation_at && moment(k.next_rotation_at)], ["Throttled to", k.throttled_to && `${k.throttled_to} requests a minute`], ["Content capture", k.captures_until && h("strong", { class: "bad" }, `on until ${k.captures_until.slice(0, 19).replace("T", " ")}: what it sends and gets is kept`)],
      ["Decoy", k.decoy && "yes: whoever uses it is not meant to"]]),
    h("h2", {}, "What it may do"),
    h("p", { class: "faint" }, k.team || k.shared_policy ? "What is in force is what this, its team and its shared policy all permit." : "Its own policy is all there is."),
    explained(k.policy),
    h("h2", {}, "Secrets"), table("Secrets", ["Version", "State", "Made", "Goes on until", "Requests", "Last used", "Used from"], k.versions.map((v) => [
      count(v.version), v.state ?? "—", moment(v.made_at), moment(v.valid_until), count(v.requests), moment(v.last_used_at), (v.hosts ?? []).join(", ") || "—",
    ]), [0, 4]));
  const from = encodeURIComponent(new Date(Date.now() - 7 * 86400e3).toISOString().slice(0, 19) + "Z");
  const [usage, latest] = await Promise.all([maybe(`usage?span=hour&key=${id}&from=${from}`), maybe(`activity?key=${id}&limit=20`)]);
  if (usage?.length) {
    const spent = usage.reduce((sum, line) => sum + Number(line.cost_usd), 0);
    main.append(chart(`Requests by hour, a week (${dollars(spent)})`, "bar", usage.map((line) => line.time.slice(5, 16).replace("T", " ")), [
      { label: "passed", color: "--good", values: usage.map((line) => line.requests - line.refused - line.failed) },
      { label: "refused", color: "--warn", values: usage.map((line) => line.refused) },
      { label: "failed", color: "--bad", values: usage.map((line) => line.failed) },
    ]));
  }
  if (latest) {
    const rows = table("Latest requests of this key", requestHeadings, []);
    if (latest.length) rows.querySelector("tbody").replaceChildren(...latest.map(requestRow));
    main.append(h("h2", {}, "Latest requests"), rows);
  }
  if (isOver) return;
  const advice = h("div", { "aria-live": "polite" });
  main.append(h("h2", {}, "Least privilege"), advice);
  advice.append(h("button", { type: "button", onclick: trying(() => propose(id, k, advice, again)) }, "What would be enough?"));
}

async function propose(id, k, place, again) {
  const told = await get(`keys/${id}/advice`);
  if (!told.policy) {
    place.replaceChildren(h("p", {}, `It was not used in ${told.days} days: is it needed?`));
    return;
  }
  const of = (used, allowed, what) => `${used.length} of ${Math.max(allowed, used.length)} ${what}`;
  place.replaceChildren(
    h("p", {}, `${count(told.requests)} requests in ${told.days} days use ${of(told.providers_used, told.providers_allowed, "providers")}, ${of(told.models_used, told.models_allowed, "models")}, `
      + `${of(told.endpoints_used, told.endpoints_allowed, "endpoint classes")} and ${told.networks_used.length} networks. Enough for them would be:`),
    explained(told.policy),
    h("p", {}, `It would have refused ${count(told.replay.would_refuse)} of ${count(told.replay.requests)} requests.`),
    h("button", {
      class: "main", type: "button",
      onclick: trying(async () => {
        await call("PUT", `keys/${id}`, { policy: told.policy, team: k.team ?? null, shared_policy: k.shared_policy ?? null });
        say("The key has the smaller policy now");
        await again();
      }),
    }, "Give it that policy"));
}
