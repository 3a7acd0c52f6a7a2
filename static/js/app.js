// Behaviour that every page shares. Each part enhances HTML that works without it.

const root = document.documentElement;

/** Show a message in the page's one live region; `undo` is an optional {label, action}. */
export function toast(text, { level = "info", undo = null, seconds = 8 } = {}) {
  const box = document.createElement("div");
  box.className = "toast";
  box.dataset.level = level;
  const words = document.createElement("span");
  words.textContent = text;
  box.append(words, button(undo ? undo.label : "Close", () => { box.remove(); undo?.action(); }));
  document.getElementById("toasts").append(box);
  if (level !== "error") setTimeout(() => box.remove(), (undo ? 30 : seconds) * 1000);
  return box;
}

function button(label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", action);
  return made;
}

/** The token for a POST of our own; the cookie is not readable by scripts. */
export function csrfToken() {
  return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
}

// Theme: at once here, and as a cookie by the server, so that the next page is painted in it from the start.
const THEMES = ["system", "light", "dark"];
document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const theme = new FormData(form, event.submitter).get("theme");
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  const body = new FormData(form);
  body.set("theme", theme);
  fetch(form.action, { method: "POST", body, redirect: "manual" });
  for (const control of document.querySelectorAll("[data-theme-form] button[name=theme]:only-of-type")) {
    control.value = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    control.title = `Theme: ${theme}`;
    control.setAttribute("aria-label", `Theme: ${theme}. Change it`);
  }
  for (const radio of document.querySelectorAll("[data-theme-form] [type=radio]")) radio.checked = radio.value === theme;
});
document.addEventListener("change", (event) => event.target.closest("[data-theme-form]")?.requestSubmit());

// A form is sent once: the second click of a double click finds the button busy.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.busy) return event.preventDefault();
  form.dataset.busy = "on";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-busy]")) {
    delete form.dataset.busy;
    form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
  }
});

// Dialogs: <button data-open="id">, <button data-close>. Copy: <button data-copy="id">. Toasts: <button data-dismiss>.
document.addEventListener("click", async (event) => {
  const control = event.target.closest("[data-open], [data-close], [data-copy], [data-dismiss]");
  if (!control) return;
  if (control.dataset.open) document.getElementById(control.dataset.open).showModal();
  if ("close" in control.dataset) control.closest("dialog").close();
  if ("dismiss" in control.dataset) control.closest(".toast").remove();
  if (control.dataset.copy) await copy(control);
});

async function copy(control) {
  const source = document.getElementById(control.dataset.copy);
  const label = control.querySelector("span") ?? control;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
    label.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // no permission, or no https: it is selected, so that Ctrl+C copies it
    label.textContent = "Press Ctrl+C";
  }
  setTimeout(() => (label.textContent = before), 1600);
}

// Disclosures that change a data attribute of what they control, such as the composer's sheet on phones.
document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-toggle]");
  if (!control) return;
  const isOn = control.getAttribute("aria-expanded") !== "true";
  control.setAttribute("aria-expanded", isOn);
  document.getElementById(control.getAttribute("aria-controls")).dataset[control.dataset.toggle] = isOn ? "on" : "off";
});

// Show and hide a password: <button data-reveal="input id">.
document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-reveal]");
  if (!control) return;
  const input = document.getElementById(control.dataset.reveal);
  const isShown = input.type === "password";
  input.type = isShown ? "text" : "password";
  control.setAttribute("aria-pressed", isShown);
});

// Single keys: data-key on the control. Off while typing.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select, dialog, video")) return;
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  if (key === "space" && event.target.closest("button, a, input, summary")) return;
  const control = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!control) return;
  event.preventDefault();
  if (control.matches("textarea, input:not([type=radio], [type=checkbox])")) control.focus();
  else control.click();
});

// Times are written by the server in UTC; people read them in their own zone.
export function localiseTimes(within = document) {
  for (const time of within.querySelectorAll("time[datetime]:not([data-localised])")) {
    const moment = new Date(time.dateTime);
    const style = time.dataset.show === "time" ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
    if (Number.isNaN(moment.valueOf()) || time.dataset.show === "day") continue;
    time.textContent = moment.toLocaleString(root.lang, style);
    time.dataset.localised = "";
  }
}
localiseTimes();
document.addEventListener("htmx:afterSettle", (event) => localiseTimes(event.target));

// Offline: one bar that says so, and a data attribute that pages may style by.
function showConnection() {
  root.toggleAttribute("data-offline", !navigator.onLine);
  const bar = document.getElementById("offline");
  if (bar) bar.hidden = navigator.onLine;
}
window.addEventListener("online", showConnection);
window.addEventListener("offline", showConnection);
showConnection();

// Why an htmx request was refused, in the words of the server; told once, however often a page asks again.
function tellOnce(text) {
  const isTold = [...document.querySelectorAll("#toasts .toast > span")].some((words) => words.textContent === text);
  if (!isTold) toast(text, { level: "error" });
}
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const isText = xhr.getResponseHeader("Content-Type")?.startsWith("text/plain");
  tellOnce(isText ? xhr.responseText : `Something went wrong on our side. Try again in a moment. (${xhr.status})`);
});
document.addEventListener("htmx:sendError", ({ detail: { requestConfig } }) => {
  if (requestConfig.verb !== "get") tellOnce("The server could not be reached. Look whether it arrived before you send it again.");
});
