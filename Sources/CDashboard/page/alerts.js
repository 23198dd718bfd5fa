// What people have to be told, whom, and what nobody wants to hear of for a while.
import { call, get, maybe } from "./api.js";
import { confirm, count, dialog, field, h, list, moment, say, table, trying } from "./dom.js";

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

const places = {
  webhook: ["https://siem.example.com/hook", "What its signatures are made with"], slack: ["https://hooks.slack.com", "The path of its URL, which is the secret"],
  pagerduty: ["PagerDuty's own, where nothing is said", "Routing key"], email: ["smtp://mail.example.com:587", "Password, where somebody signs in"],
  command: ["the name of a program in the hooks folder", null],
};

/** Asks where alerts are brought; the name of the channel, null where nothing was set. */
async function setChannel(known, channels) {
  let done = null;
  await dialog(known ? `Change ${known.name}` : "New channel", (close) => {
    const line = (value, more = {}) => h("input", { autocomplete: "off", spellcheck: "false", value: value ?? "", ...more });
    const choice = (values, chosen) => {
      const box = h("select", {}, values.map(([value, text]) => h("option", { value }, text ?? value)));
      box.value = chosen;
      return box;
    };
    const name = line(known?.name, { required: true, maxlength: 64, disabled: Boolean(known) });
    const kind = choice(Object.keys(places).map((k) => [k]), known?.kind ?? "webhook");
    const place = line(known?.place);
    const secret = line("", { type: "password", autocomplete: "new-password" });
    const severity = choice([["info"], ["warning"], ["error"], ["critical"]], known?.severity ?? "warning");
    const acts = line((known?.acts ?? []).join(", "), { placeholder: "event.leaked, vault.seal" });
    const other = choice([["", "nobody"], ...channels.filter((c) => c.name !== known?.name).map((c) => [c.name])], known?.escalate_to ?? "");
    const after = line(`${(known?.escalate_seconds ?? 900) / 60}`, { type: "number", min: 1, max: 10080, step: "any" });
    const from = line(known?.from), to = line((known?.to ?? []).join(", ")), user = line(known?.user);
    const mail = h("div", {}, field("From", from), field("To", to), field("Who signs in to the mail server", user));
    const secretField = field("Credential", secret);
    const show = () => {
      const [example, credential] = places[kind.value];
      place.placeholder = example;
      place.required = kind.value !== "pagerduty";
      mail.hidden = kind.value !== "email";
      secretField.hidden = credential === null;
      secret.placeholder = known?.has_secret && known.kind === kind.value ? "unchanged, while it goes to the same host" : credential ?? "";
    };
    kind.addEventListener("change", show);
    show();
    const trouble = h("p", { class: "bad", role: "alert" });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const isMail = kind.value === "email";
        const document = {
          kind: kind.value, place: place.value.trim() || undefined, severity: severity.value, acts: list(acts.value),
          group_seconds: known?.group_seconds, again_seconds: known?.again_seconds, authority_file: known?.authority_file,
          ...(other.value ? { escalate_to: other.value, escalate_seconds: Math.round(60 * Number(after.value)) } : {}),
          ...(isMail ? { from: from.value.trim() || undefined, to: list(to.value), user: user.value.trim() || undefined } : {}),
          secret: !secretField.hidden && secret.value ? secret.value : undefined,
        };
        try {
          done = (await call("PUT", `alert-channels/${encodeURIComponent(name.value.trim())}`, document)).name;
          close();
        } catch (problem) { trouble.textContent = problem.message; }
      },
    },
    field("Name", name), field("Kind", kind), field("Place", place), secretField, mail, field("Told of what matters as much, or more", severity),
    field("Only of these acts (all, where nothing is said)", acts), field("Where nobody acknowledges, this one is told, too", other), field("After how many minutes", after), trouble,
    h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Set"), h("button", { type: "button", onclick: close }, "Cancel")));
  });
  return done;
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
  const move = (alert, word) => h("button", {
    type: "button", "aria-label": `${word}: ${alert.title}`,
    onclick: trying(async () => {
      await call("POST", `alerts/${alert.id}/${word}`);
      await again(`Alert ${alert.id}: ${word}d`);
    }),
  }, word);
  const kinds = { critical: "bad", error: "bad", warning: "warn", info: "faint" };
  main.append(h("h1", {}, "Alerts"),
    table("Alerts", ["Last", "Severity", "State", "What", "Times", "Told", "Do"], all.slice(0, 200).map((a) => [
      moment(a.last_at), h("span", { class: kinds[a.severity] }, a.severity), a.silenced ? `${a.state}, silenced` : a.state, a.title, count(a.count),
      [...a.told, ...Object.entries(a.waiting).map(([name, why]) => `(${name}${why ? `: ${why}` : ""})`)].join(", ") || "nobody",
      h("span", { class: "row" }, a.state === "open" && move(a, "acknowledge"), a.state !== "resolved" && move(a, "resolve"),
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
        onclick: trying(async () => {
          await call("DELETE", `silences/${s.name}`);
          await again(`${s.name} is over`);
        }),
      }, "End"),
    ])));
  }
  if (!channels) return;
  const act = (label, c, doIt) => h("button", {
    type: "button", "aria-label": `${label} ${c.name}`,
    onclick: trying(doIt),
  }, label);
  const change = async (c) => {
    const name = await setChannel(c, channels);
    if (name) await again(`Channel ${name} is set: test it`);
  };
  main.append(h("h2", {}, "Channels"),
    h("p", { class: "row" }, h("button", { type: "button", onclick: () => change(null) }, "New channel")),
    table("Channels", ["Name", "Kind", "Place", "From", "Acts", "Escalates to", "Waiting", "Trouble", "Do"], channels.map((c) => [
      c.name, c.kind, c.place, c.severity, (c.acts ?? []).join(", ") || "all", c.escalate_to ?? "—", count(c.waiting), c.trouble ?? "—",
      h("span", { class: "row" },
        act("Test", c, async () => {
          await call("POST", `alert-channels/${c.name}/test`);
          say(`${c.name} was told`);
        }),
        act("Change", c, () => change(c)),
        act("Remove", c, async () => {
          if (!await confirm(`Remove ${c.name}`, "Nothing is brought there any more; its credential is forgotten.", "Remove")) return;
          await call("DELETE", `alert-channels/${c.name}`);
          await again(`Channel ${c.name} is gone`);
        })),
    ]), [6]));
}
