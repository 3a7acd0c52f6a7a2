// What the prompt filter says of the words in the composer, while they are typed. Without this it says so at submit.

import { csrfToken } from "./app.js";

const WAIT_MS = 500;
const place = document.getElementById("hints");
const form = place?.closest("form");
let timer = 0;
let request = null;
let asked = null; // the words that what is shown belongs to
let shown = null; // as the server wrote it

const words = () => [form.elements.prompt.value, ...[...form.querySelectorAll("[name=styles]:not(:disabled)")].map((field) => field.value)];

function show(html) {
  if (shown !== html) place.innerHTML = shown = html; // spoken only when it says something else
  // "Mask and generate" is for whoever has no script: here it is masked to be read first.
  for (const button of place.querySelectorAll("button")) button.hidden = button.type === "submit";
}

async function ask() {
  const now = JSON.stringify(words());
  if (now === asked || !navigator.onLine) return;
  request?.abort();
  if (!words().some((text) => text.trim())) {
    asked = now;
    return show("");
  }
  request = new AbortController();
  const body = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));
  try {
    const answer = await fetch(place.dataset.url, {
      method: "POST", body, headers: { "X-CSRFToken": csrfToken() }, signal: request.signal, redirect: "error",
    });
    if (!answer.ok) return;
    asked = now;
    show(await answer.text());
  } catch {
    // Left, offline, or signed out: the server looks again when the form is sent.
  }
}

/** Write into a field so that Ctrl+Z takes it back. */
function write(field, text) {
  if (!field || field.value === text) return;
  field.focus();
  field.select();
  if (!document.execCommand("insertText", false, text)) field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function mask({ prompt, styles }) {
  const fields = [...form.querySelectorAll("[name=styles]")];
  styles.forEach((text, index) => text && write(fields[index], text));
  write(form.elements.prompt, prompt);
  document.getElementById("problem").replaceChildren(); // what it says is no longer true
  document.getElementById("said").textContent = "Personal data is masked.";
}

if (place) {
  for (const name of ["input", "change"]) {
    form.addEventListener(name, () => {
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT_MS);
    });
  }
  place.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-mask]");
    if (!button) return;
    mask(JSON.parse(button.dataset.mask));
    ask(); // at once: what was said is no longer true
  });
  document.addEventListener("htmx:oobAfterSwap", () => show((shown = place.innerHTML)));
  show((shown = place.innerHTML));
  ask();
}
