// Elements are made here and nowhere else: text is text, never markup.

/** An element: `h("p", {class: "faint"}, "text", child)`. A member that begins with `on` is a listener. */
export function h(tag, members = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(members)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A table whose rows are arrays of cells; `numbers` are the columns that are aligned to the right. */
export function table(caption, headings, rows, numbers = []) {
  const align = (i) => (numbers.includes(i) ? { class: "number" } : {});
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { "aria-label": caption },
      h("thead", {}, h("tr", {}, headings.map((text, i) => h("th", { scope: "col", ...align(i) }, text)))),
      h("tbody", {}, rows.length ? rows.map((row) => h("tr", {}, row.map((cell, i) => h("td", align(i), cell))))
        : h("tr", {}, h("td", { colspan: headings.length, class: "faint" }, "Nothing here yet.")))));
}

export function tile(label, value, kind = "") {
  return h("div", { class: "tile" }, h("dl", {}, h("dt", {}, label), h("dd", { class: kind }, value)));
}

/** Facts as a list of names and values; those without a value are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

let fieldCount = 0;
/** A labelled field of a form. */
export function field(label, input) {
  input.id = input.id || `field-${++fieldCount}`;
  return h("div", {}, h("label", { for: input.id }, label), input);
}

/** Says something to everybody, screen readers included. */
export function say(text, isBad = false) {
  const line = h("p", isBad ? { class: "bad" } : {}, text);
  document.getElementById("status").append(line);
  setTimeout(() => line.remove(), isBad ? 12000 : 6000);
}

/** A listener that does `work`, and says what goes wrong. */
export const trying = (work) => async () => {
  try {
    await work();
  } catch (problem) { say(problem.message, true); }
};

/** A dialog with a title; what is in it gets a function that closes it. Resolves when it is closed. */
export function dialog(title, build) {
  return new Promise((resolve) => {
    const close = () => box.close();
    const box = h("dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), build(close));
    box.addEventListener("close", () => { box.remove(); resolve(); });
    document.body.append(box);
    box.showModal();
  });
}

/** Asks for a reason before something is done; null when it is not to be done. */
export async function askReason(title, text, action) {
  let reason = null;
  await dialog(title, (close) => {
    const input = h("input", { required: true, maxlength: 100, autocomplete: "off" });
    return h("form", { onsubmit: (event) => { event.preventDefault(); reason = input.value; close(); } },
      h("p", {}, text), field("Reason, for whoever reads the audit", input),
      h("p", { class: "row" }, h("button", { class: "danger", type: "submit" }, action), h("button", { type: "button", onclick: close }, "Cancel")));
  });
  return reason;
}

/** Asks whether something is to be done. */
export async function confirm(title, text, action) {
  let isMeant = false;
  await dialog(title, (close) => [
    h("p", {}, text),
    h("p", { class: "row" }, h("button", { class: "danger", type: "button", onclick: () => { isMeant = true; close(); } }, action),
      h("button", { type: "button", onclick: close }, "Cancel")),
  ]);
  return isMeant;
}

/** Words that are separated by spaces or commas. */
export const list = (text) => text.split(/[\s,]+/).filter(Boolean);
export const count = (n) => new Intl.NumberFormat("en").format(n ?? 0);
export const dollars = (text) => `$${Number(text ?? 0).toFixed(Number(text) && Math.abs(Number(text)) < 0.01 ? 6 : 2)}`;
export const moment = (text) => (text ? h("time", { datetime: text }, text.slice(0, 19).replace("T", " ")) : "—");
export const link = (href, text) => h("a", { href }, text);
