import { call, callWithSecret, get, maybe } from "./api.js";
import { chart } from "./charts.js";
import { askReason, count, dialog, dollars, field, h, moment, say, table, trying } from "./dom.js";

/** Asks for a real key and has it sealed; what came of it, null where nothing did. */
async function add(all) {
  let added = null;
  await dialog("Add a provider key", (close) => {
    const provider = h("select", {}, all.map((p) => h("option", { value: p.name }, p.name)));
    const name = h("input", { required: true, maxlength: 100, autocomplete: "off", value: "default" });
    const secret = h("input", { type: "password", required: true, autocomplete: "new-password", spellcheck: "false" });
    const trouble = h("p", { class: "bad", role: "alert" });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          added = await callWithSecret("POST", `provider-keys?${new URLSearchParams({ provider: provider.value, name: name.value })}`, secret.value.trim());
          close();
        } catch (problem) { trouble.textContent = problem.message; }
      },
    },
    h("p", {}, "It is sealed for the host of its provider and shown to nobody any more, you included."),
    field("Provider", provider), field("Name", name), field("The real key", secret), trouble,
    h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Seal it"), h("button", { type: "button", onclick: close }, "Cancel")));
  });
  return added;
}

export async function providers(main) {
  const [all, keys, rotations] = await Promise.all([get("providers"), maybe("provider-keys"), maybe("rotations")]);
  const used = all.filter((provider) => provider.keys);
  main.append(h("h1", {}, "Providers"));
  if (keys) {
    const under = new Map((rotations ?? []).filter((r) => r.step).map((r) => [r.provider_key, r.step]));
    const kind = (state) => (state === "usable" ? "good" : state === "disabled" ? "faint" : state === "cooling" ? "warn" : "bad");
    const again = async (text) => {
      say(text);
      main.replaceChildren();
      await providers(main);
    };
    const act = (label, k, doIt) => h("button", {
      type: "button", "aria-label": `${label}: ${k.name} of ${k.provider}`,
      onclick: trying(doIt),
    }, label);
    const steps = (k) => [
      k.state === "quarantined" && act("Use again", k, async () => {
        await call("POST", `provider-keys/${k.id}/release`);
        await again(`${k.name} is used again`);
      }),
      k.state === "disabled" ? act("Enable", k, async () => {
        await call("POST", `provider-keys/${k.id}/enable`);
        await again(`${k.name} is in use again`);
      }) : act("Disable", k, async () => {
        const reason = await askReason("Disable", `Nothing goes out with ${k.name} of ${k.provider} any more, at once.`, "Disable");
        if (!reason) return;
        await call("POST", `provider-keys/${k.id}/disable`, { reason });
        await again(`${k.name} is out of use`);
      }),
    ];
    main.append(h("h2", {}, "Provider keys"),
      h("p", { class: "row" }, h("button", {
        type: "button",
        onclick: async () => {
          const added = await add(all);
          if (added) await again(`${added.name} of ${added.provider} is sealed`);
        },
      }, "Add a provider key")),
      table("Provider keys", ["Provider", "Name", "ID", "State", "Version", "Weight", "Rotation", "Since", "Do"], keys.map((k) => [
        k.provider, k.name, h("code", {}, k.id), h("span", { class: kind(k.state) }, k.reason ? `${k.state}: ${k.reason}` : k.state), count(k.version), count(k.weight),
        under.get(k.id) ?? "—", moment(k.created_at), h("span", { class: "row" }, steps(k)),
      ]), [4, 5]));
  }
  main.append(h("h2", {}, "Providers with keys"), table("Providers with keys", ["Name", "Kind", "Address", "Keys"],
    used.map((p) => [p.name, p.kind, p.base_url, count(p.keys)]), [3]),
  h("p", { class: "faint" }, `${count(all.length - used.length)} more are known and have no key.`));
}

const day = 86400e3;
const lengths = { minute: 60e3, hour: 3600e3, day, week: 7 * day, month: 30 * day, year: 365 * day };

export async function budgets(main) {
  const all = await get("budgets");
  main.append(h("h1", {}, "Budgets"));
  if (!all.length) main.append(h("p", { class: "faint" }, "There are none: maskllm budget set NAME --usd 100 --window month"));
  for (const budget of all) {
    const state = budget.state ?? {};
    const limit = Number(state.limit_usd ?? budget.usd), spent = Number(state.spent_usd ?? 0);
    const share = limit > 0 ? spent / limit : 0;
    const of = [budget.key && `key ${budget.key}`, budget.team && `team ${budget.team}`, budget.provider, ...(budget.models ?? [])].filter(Boolean).join(", ") || "everything";
    main.append(h("section", { "aria-label": `Budget ${budget.name}` },
      h("h2", {}, `${budget.name}: ${dollars(`${Math.max(0, limit - spent)}`)} of ${dollars(`${limit}`)} left`),
      h("p", { class: "faint" }, `of ${of}, for each ${budget.window}${budget.rolling ? ", rolling" : ""}`),
      h("meter", { min: 0, max: 1, low: 0.5, high: 0.8, optimum: 0, value: Math.min(1, share), "aria-label": `${Math.round(share * 100)} % spent` }, `${Math.round(share * 100)} %`),
      await burnDown(budget, limit, spent)));
  }
}

/** What is left, day by day, beside the line that ends at nothing with the window. */
async function burnDown(budget, limit, spent) {
  const start = Date.parse(budget.state?.window_start ?? "");
  const length = budget.state?.window_end ? Date.parse(budget.state.window_end) - start : lengths[budget.window] ?? 30 * day;
  if (!start || length < 2 * day) return null;
  const query = new URLSearchParams({ span: "day", from: new Date(Math.floor(start / day) * day).toISOString().slice(0, 19) + "Z" });
  for (const name of ["key", "team", "provider"]) if (budget[name]) query.set(name, budget[name]);
  if ((budget.models ?? []).length) return null;
  const byDay = new Map((await maybe(`usage?${query}`) ?? []).map((line) => [line.time.slice(0, 10), Number(line.cost_usd)]));
  const days = Array.from({ length: Math.ceil(length / day) }, (_, i) => new Date(start + i * day).toISOString().slice(0, 10));
  const today = new Date().toISOString().slice(0, 10);
  let left = limit;
  const remaining = days.map((d) => {
    left -= byDay.get(d) ?? 0;
    // Today is as the ledger has it, holds and estimates included.
    return d > today ? null : d === today ? limit - spent : left;
  });
  return chart(`${budget.name}, what is left`, "line", days.map((d) => d.slice(5)), [
    { label: "left", color: "--accent", values: remaining },
    { label: "even pace", color: "--faint", dash: true, values: days.map((_, i) => Number((limit * (1 - (i + 1) / days.length)).toFixed(4))) },
  ]);
}
