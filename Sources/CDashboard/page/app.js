// Which page is shown, and who looks at it.
import { alerts } from "./alerts.js";
import { forget, isSignedIn, resume, signIn, signOut } from "./api.js";
import { field, h, say } from "./dom.js";
import { key } from "./key.js";
import { keys } from "./keys.js";
import { overview } from "./overview.js";
import { budgets, providers } from "./providers.js";
import { audit, live } from "./watch.js";

const pages = { overview, keys, providers, budgets, live, alerts, audit };
const main = document.getElementById("main");
let leaving = new AbortController();

async function welcome() {
  document.getElementById("nav").hidden = document.getElementById("sign-out").hidden = true;
  const token = h("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const trouble = h("p", { class: "bad", role: "alert" });
  document.title = "Sign in — MaskLLM";
  main.replaceChildren(h("h1", {}, "Sign in"),
    h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await signIn(token.value);
          await show();
        } catch (problem) {
          forget();
          trouble.textContent = problem.message;
        }
      },
    }, field("Admin token", token), trouble, h("p", { class: "row" }, h("button", { class: "main", type: "submit" }, "Sign in"),
      hasOpenID && h("a", { href: "/oidc/login" }, "Sign in with your organisation"))),
    h("p", { class: "faint" }, "No token yet? On the server: ", h("code", {}, "maskllm token create --name me --role owner")));
  token.focus();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  if (!isSignedIn()) return welcome();
  document.getElementById("nav").hidden = document.getElementById("sign-out").hidden = false;
  const [name, id] = location.hash.replace(/^#\//, "").split("/");
  const page = id && name === "keys" ? key : pages[name] ?? overview;
  for (const a of document.querySelectorAll("#nav a")) {
    if (a.getAttribute("href") === `#/${pages[name] ? name : "overview"}`) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
  }
  const ground = h("div", {});
  main.replaceChildren(ground);
  main.setAttribute("aria-busy", "true");
  try {
    await page(ground, leaving.signal, id);
  } catch (problem) {
    if (!isSignedIn()) {
      say("Sign in again", true);
      return welcome();
    }
    ground.replaceChildren(h("h1", {}, "That did not work"), h("p", { class: "bad" }, problem.status === 404 ? "There is nothing here, or nothing that you may see." : problem.message));
  } finally {
    main.removeAttribute("aria-busy");
    main.dataset.shown = location.hash;
  }
  document.title = `${ground.querySelector("h1")?.textContent ?? "MaskLLM"} — MaskLLM`;
}

addEventListener("hashchange", () => { show().then(() => main.focus()); });
document.getElementById("sign-out").addEventListener("click", async () => {
  await signOut();
  await show();
});
const hasOpenID = await resume();
await show();
