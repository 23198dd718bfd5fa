import { call, get, listen, maybe, page } from "./api.js";
import { count, dialog, dollars, field, h, link, moment, say, table } from "./dom.js";

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

/** Asks for how long nobody is to be told of the like of an alert; whether somebody answered. */
async function silence(alert) {
  let isSet = false;
  await dialog("Silence", (close) => {
    const hours = h("select", {}, [[1, "an hour"], [4, "four hours"], [24, "a day"], [168, "a week"]].map(([n, text]) => h("option", { value: n }, text)));
    const all = h("input", { type: "checkbox" });
    const reason = h("input", { required: true, maxlength: 100, autocomplete: "off" });
    const trouble = h("p", { class: "bad", role: "alert" });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const until = `${new Date(Date.now() + Number(hours.value) * 3600e3).toISOString().slice(0, 19)}Z`;
        try {
          await call("PUT", `silences/${alert.act}-${Date.now().toString(36)}`, { act: alert.act, ...(all.checked ? {} : { subject: alert.subject }), until, reason: reason.value });
          isSet = true;
          close();
        } catch (problem) { trouble.textContent = problem.message; }
      },
    },
    h("p", {}, "Nobody is told meanwhile; it is written down and counted all the same."), field("For", hours),
    h("p", {}, h("label", { class: "check" }, all, `${alert.act} of anything, not only of ${alert.subject}`)), field("Reason, for whoever reads the audit", reason), trouble,
    h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Silence"), h("button", { type: "button", onclick: close }, "Cancel")));
  });
  return isSet;
}

export async function alerts(main) {
  const [all, channels, silences] = await Promise.all([get("alerts"), maybe("alert-channels"), maybe("silences")]);
  const again = async (text) => {
    say(text);
    main.replaceChildren();
    await alerts(main);
  };
  const order = { open: 0, acknowledged: 1, resolved: 2 };
  all.sort((a, b) => order[a.state] - order[b.state] || b.last_at.localeCompare(a.last_at));
  const change = (alert, word) => h("button", {
    type: "button", "aria-label": `${word}: ${alert.title}`,
    onclick: async () => {
      try {
        await call("POST", `alerts/${alert.id}/${word}`);
        await again(`Alert ${alert.id}: ${word}d`);
      } catch (problem) { say(problem.message, true); }
    },
  }, word);
  const kinds = { critical: "bad", error: "bad", warning: "warn", info: "faint" };
  main.append(h("h1", {}, "Alerts"),
    table("Alerts", ["Last", "Severity", "State", "What", "Times", "Told", "Do"], all.slice(0, 200).map((a) => [
      moment(a.last_at), h("span", { class: kinds[a.severity] }, a.severity), a.silenced ? `${a.state}, silenced` : a.state, a.title, count(a.count),
      [...a.told, ...Object.entries(a.waiting).map(([name, why]) => `(${name}${why ? `: ${why}` : ""})`)].join(", ") || "nobody",
      h("span", { class: "row" }, a.state === "open" && change(a, "acknowledge"), a.state !== "resolved" && change(a, "resolve"),
        silences && a.state !== "resolved" && h("button", {
          type: "button", "aria-label": `silence: ${a.title}`,
          onclick: async () => { if (await silence(a)) await again(`Nobody is told of ${a.act} meanwhile`); },
        }, "silence")),
    ]), [4]));
  if (silences?.length) {
    main.append(h("h2", {}, "Silences"), table("Silences", ["Act", "Subject", "Until", "Reason", "Do"], silences.map((s) => [
      s.act ?? "any", s.subject ?? "any", moment(s.until), s.reason,
      h("button", {
        type: "button", "aria-label": `End ${s.name}`,
        onclick: async () => {
          try {
            await call("DELETE", `silences/${s.name}`);
            await again(`${s.name} is over`);
          } catch (problem) { say(problem.message, true); }
        },
      }, "End"),
    ])));
  }
  if (!channels) return;
  main.append(h("h2", {}, "Channels"), table("Channels", ["Name", "Kind", "Place", "From", "Waiting", "Trouble", "Do"], channels.map((c) => [
    c.name, c.kind, c.place, c.severity, count(c.waiting), c.trouble ?? "—",
    h("button", {
      type: "button", "aria-label": `Test ${c.name}`,
      onclick: async () => {
        try {
          await call("POST", `alert-channels/${c.name}/test`);
          say(`${c.name} was told`);
        } catch (problem) { say(problem.message, true); }
      },
    }, "Test"),
  ]), [4]), h("p", { class: "faint" }, "Channels are set with the command line: maskllm alert-channel set."));
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
      onclick: async () => {
        try { show(await call("POST", "audit/verifications")); say("The record was followed from its beginning"); } catch (problem) { say(problem.message, true); }
      },
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
