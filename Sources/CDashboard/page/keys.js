import { call, get, maybe, page } from "./api.js";
import { count, dialog, field, h, link, list, moment, say, table } from "./dom.js";

const states = ["", "active", "disabled", "revoked", "expired", "destroyed"];

/** Shows a secret once, with a button that copies it. */
export function showSecret(created, title) {
  return dialog(title, (close) => [
    h("p", {}, "This is shown once and kept nowhere. Copy it to where it is used, now."),
    h("p", { class: "secret code", id: "secret" }, created.masked_key),
    h("p", { class: "row" },
      h("button", {
        class: "main", type: "button",
        onclick: async () => {
          try {
            await navigator.clipboard.writeText(created.masked_key);
            say("Copied");
          } catch {
            getSelection().selectAllChildren(document.getElementById("secret"));
            say("The browser does not let it be copied: it is selected, press Ctrl+C", true);
          }
        },
      }, "Copy"),
      h("button", { type: "button", onclick: close }, "I have it")),
  ]);
}

async function create() {
  const [teams, policies, providers] = await Promise.all([maybe("teams"), maybe("policies"), get("providers")]);
  let created = null;
  await dialog("New masked key", (close) => {
    const name = h("input", { required: true, maxlength: 100, autocomplete: "off" });
    const team = h("select", {}, h("option", { value: "" }, "none"), (teams ?? []).map((t) => h("option", { value: t.name }, t.name)));
    const policy = h("select", {}, h("option", { value: "" }, "none"), (policies ?? []).map((p) => h("option", { value: p.name }, p.name)));
    const provider = h("select", { multiple: true, size: 4 }, h("option", { value: "*" }, "all"), providers.filter((p) => p.keys).map((p) => h("option", { value: p.name }, p.name)));
    const models = h("input", { autocomplete: "off", placeholder: "gpt-4*, claude-*" });
    const perMinute = h("input", { type: "number", min: 1, max: 1000000 });
    const tags = h("input", { autocomplete: "off" });
    const expires = h("input", { type: "date" });
    const trouble = h("p", { class: "bad", role: "alert" });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const own = {};
        const chosen = [...provider.selectedOptions].map((option) => option.value);
        if (chosen.length) own.providers = chosen;
        if (list(models.value).length) own.models = list(models.value);
        if (perMinute.value) own.limits = { requests_per_minute: Number(perMinute.value) };
        const document = { name: name.value, policy: own, tags: list(tags.value) };
        if (team.value) document.team = team.value;
        if (policy.value) document.shared_policy = policy.value;
        if (expires.value) document.expires_at = `${expires.value}T00:00:00Z`;
        try {
          created = await call("POST", "keys", document);
          close();
        } catch (problem) { trouble.textContent = problem.message; }
      },
    },
    field("Name", name), field("Team", team), field("Shared policy", policy), field("Providers that may be called", provider),
    field("Models that may be named (all, where nothing is said)", models), field("Requests per minute", perMinute),
    field("Tags", tags), field("Ends on", expires), trouble,
    h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Create"), h("button", { type: "button", onclick: close }, "Cancel")));
  });
  if (!created) return;
  await showSecret(created, `Key “${created.key.name}”`);
  location.hash = `#/keys/${created.key.id}`;
}

export function stateText(key) {
  const kind = key.state === "active" ? "good" : key.state === "disabled" ? "warn" : "faint";
  return h("span", { class: kind }, key.state);
}

export async function keys(main) {
  const text = h("input", { type: "search", autocomplete: "off" });
  const state = h("select", {}, states.map((s) => h("option", { value: s }, s || "any")));
  const team = h("input", { autocomplete: "off" });
  const rows = h("div", { "aria-live": "polite" });
  async function load(query) {
    const { entries, next } = await page(`keys${query}`);
    rows.append(table("Masked keys", ["Name", "ID", "State", "Team", "Tags", "Last used", "Ends"], entries.map((k) => [
      link(`#/keys/${k.id}`, k.name), h("code", {}, k.id), stateText(k), k.team ?? "—", (k.tags ?? []).join(", ") || "—", moment(k.last_used_at), moment(k.expires_at),
    ])));
    if (next) rows.append(h("button", { type: "button", onclick: (event) => { event.target.remove(); load(next); } }, "More"));
  }
  async function find() {
    rows.replaceChildren();
    // An ID is one key; anything else is a part of a name.
    if (/^[0-9A-Za-z]{12}$/.test(text.value) && await maybe(`keys/${text.value}`)) {
      location.hash = `#/keys/${text.value}`;
      return;
    }
    const asked = [["name", text.value && (/[*?]/.test(text.value) ? text.value : `*${text.value}*`)], ["state", state.value], ["team", team.value]];
    await load(`?${new URLSearchParams([...asked.filter(([, value]) => value), ["limit", "50"]])}`);
  }
  const status = await get("status");
  main.append(h("h1", {}, `Keys (${count(status.keys)})`),
    h("form", { class: "row", role: "search", onsubmit: (event) => { event.preventDefault(); find().catch((problem) => say(problem.message, true)); } },
      field("Name or ID", text), field("State", state), field("Team", team), h("button", { type: "submit" }, "Find"),
      h("button", { class: "main", type: "button", onclick: () => create().catch((problem) => say(problem.message, true)) }, "New key")),
    rows);
  await find();
}
