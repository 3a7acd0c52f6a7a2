// The review desk: the next picture is here before the present one is decided, so that it shows at once.
// Without this script each decision is a form, and its answer the next page.

import { csrfToken, toast } from "./app.js";

const place = document.getElementById("desk-item");
const queue = document.getElementById("queue");
const say = document.getElementById("desk-say");
const RENEW_EVERY_MS = 60_000;
const ANNOUNCED_S = [60, 15];

const DEPTH = 2; // so many pictures are here before they are needed: one slow answer is not felt
let ahead = []; // promises of the next pictures' elements; null: there was none, undefined: it failed
let coming = []; // the ids of those that have arrived and were not shown yet
let round = 0; // raised when what was asked for is not wanted any more
let skipped = []; // ids that were put off here, the latest last
let decided = []; // ids whose decision may not have arrived at the server yet, the latest last
let last = null; // the last decision: {element, done}, until it cannot be taken back any more
let deadline = 0;
let renewedAt = 0;
let announced = new Set();

const exam = () => place.querySelector(".exam[data-id]");
const form = () => place.querySelector("form.verdict");

class Refused extends Error {
  constructor(status, body) {
    super(body.message ?? "The server did not answer as expected.");
    this.status = status;
    this.code = body.code ?? "";
  }
}

async function post(address, data = {}) {
  const body = new URLSearchParams(data);
  const headers = { "X-CSRFToken": csrfToken(), "HX-Request": "true" };
  const answer = await fetch(address, { method: "POST", body, headers, redirect: "error" });
  const read = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, read);
  return read;
}

/** One picture's part of the page as an element, its picture loaded; null when there is none. */
async function load(address) {
  const answer = await fetch(address, { headers: { "HX-Request": "true" }, redirect: "error" });
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  const element = document.createElement("div");
  element.className = "desk-item-content";
  element.innerHTML = await answer.text();
  await element.querySelector(".exam-frame img")?.decode().catch(() => {});
  element.loadedAt = performance.now();
  return element;
}

/** Ask for the next ones, one after the other, as each answer must not be one of those before. */
function prefetch() {
  while (ahead.length < DEPTH) {
    const before = ahead.at(-1) ?? Promise.resolve();
    const asked = round;
    const next = before.then(loadNext).catch(() => undefined);
    // First of all that waits for it, so that the one after it is another one.
    next.then((element) => { if (element && asked === round) coming.push(idOf(element)); });
    ahead.push(next);
  }
}

function idOf(element) {
  return element.querySelector(".exam").dataset.id;
}

/** Put an element on the stage, begin its clock, and say what it is. */
function show(element) {
  place.replaceChildren(element);
  mark();
  const stage = document.getElementById("stage") ?? place.querySelector("h2");
  stage?.focus({ preventScroll: matchMedia("(min-width: 820px)").matches });
  startClock();
  requestAnimationFrame(() => performance.measure("next-shown", { start: pressedAt })); // the benchmark reads it
  if (exam() && performance.now() - (element.loadedAt ?? 0) > 5_000) renew();
}

function mark() {
  for (const link of queue?.querySelectorAll("[aria-current]") ?? []) link.removeAttribute("aria-current");
  const link = exam() && queue?.querySelector(`[data-id="${CSS.escape(exam().dataset.id)}"] a`);
  link?.setAttribute("aria-current", "true");
  link?.scrollIntoView({ block: "nearest" });
}

/** What is on the stage, in an element of its own that can be put back. */
function current() {
  const only = place.firstElementChild;
  if (only?.matches(".desk-item-content")) return only;
  const element = document.createElement("div");
  element.className = "desk-item-content";
  element.append(...place.childNodes);
  place.append(element);
  return element;
}

function loadNext() {
  const address = new URL(place.dataset.next, location.href);
  const seen = [exam()?.dataset.id, ...coming, ...decided.slice(-10), ...skipped.slice(-35)];
  for (const id of seen) if (id) address.searchParams.append("not", id);
  return load(address);
}

/** Show the next picture, and return the one that was on the stage; null when the next cannot be had. */
async function advance() {
  const before = current();
  let next = await ahead.shift();
  if (next) coming = coming.filter((id) => id !== idOf(next));
  else {
    [ahead, coming, round] = [[], [], round + 1]; // what came to nothing may be there by now
    try {
      next = await loadNext();
    } catch (error) {
      toast(error.message, { level: "error" });
      return null;
    }
  }
  show(next ?? document.getElementById("nothing-waits").content.cloneNode(true));
  if (exam()) prefetch();
  return before;
}

let moving = false;
let pressedAt = 0;
async function alone(action) {
  if (moving || !exam()) return; // the second press of a key meets no picture that was not looked at
  moving = true;
  pressedAt = performance.now();
  try {
    await action();
  } finally {
    moving = false;
  }
}

const DONE = { approve: "Approved", reject: "Refused", escalate: "Sent on for a second look", quarantine: "Shut away" };

function decide(verb) {
  return alone(async () => {
    const data = new FormData(form());
    if ((verb === "reject" || verb === "quarantine") && !data.get("reason") && !isUpholding()) {
      document.getElementById("reason-missing").hidden = false;
      form().querySelector("[name=reason]").focus();
      return;
    }
    data.set("verb", verb);
    const { id, name, undo } = exam().dataset;
    const address = form().action;
    decided.push(id);
    const before = await advance();
    if (!before) return void decided.pop();
    const line = queue?.querySelector(`[data-id="${CSS.escape(id)}"]`);
    if (line) line.hidden = true;
    const decision = { id, element: before, undo, line, box: null };
    decision.done = post(address, data).catch((error) => {
      failed(decision, error, name);
      return null;
    });
    offerUndo(decision, `${DONE[verb]}: ${name}`);
  });
}

/** One decision over the stage and the ticked ones that look like it: it is known how each ended before the next comes. */
function decideTogether(verb) {
  return alone(async () => {
    const data = new FormData(form());
    if (verb === "reject" && !data.get("reason")) {
      document.getElementById("reason-missing").hidden = false;
      form().querySelector("[name=reason]").focus();
      return;
    }
    data.set("together", verb);
    const { id, undo } = exam().dataset;
    try {
      const { results } = await post(form().action, data);
      const done = results.filter(({ error }) => !error);
      for (const each of done) queue?.querySelector(`[data-id="${CSS.escape(each.id)}"]`)?.setAttribute("hidden", "");
      for (const words of new Set(results.map(({ error }) => error).filter(Boolean))) toast(words, { level: "error" });
      if (!done.some((each) => each.id === id)) return; // the one on the stage was not decided: it stays there
      [ahead, coming, round] = [[], [], round + 1]; // what came ahead may be among them
      const element = await advance();
      offerUndoOfAll(done.map((each) => ({ ...each, undo: undo.replace(id, each.id) })), element, `${DONE[verb]}: ${done.length} of ${results.length}`);
    } catch (error) {
      toast(error.message, { level: "error" });
    }
  });
}

function offerUndoOfAll(done, element, text) {
  last?.box?.remove();
  last = { element, box: null, takesBack: done };
  showUndo(last, text);
}

async function undoAll({ takesBack }) {
  const answers = await Promise.allSettled(takesBack.map(({ undo, version }) => post(undo, { version })));
  const failed = answers.filter(({ status }) => status === "rejected");
  for (const words of new Set(failed.map(({ reason }) => reason.message))) toast(words, { level: "error" });
  for (const [index, { id }] of takesBack.entries()) {
    if (answers[index].status === "fulfilled") queue?.querySelector(`[data-id="${CSS.escape(id)}"]`)?.removeAttribute("hidden");
  }
  if (answers[0].status !== "fulfilled") return;
  bringBack(await load(takesBack[0].undo.replace(/undo\/$/, "")));
  say.textContent = `Taken back: ${answers.length - failed.length}. The picture is here again.`;
}

/** An appeal is refused for the reason that was given before. */
function isUpholding() {
  return form().querySelector('[name=verb][value="escalate"]').disabled;
}

function offerUndo(decision, text) {
  last?.box?.remove();
  last = decision;
  showUndo(decision, text);
}

function showUndo(decision, text) {
  document.querySelector(".desk-undo")?.remove();
  decision.box = toast(text, { undo: { label: "Undo", action: undo } });
  const button = decision.box.querySelector("button");
  if (hasKeys()) {
    button.dataset.key = "z";
    button.setAttribute("aria-keyshortcuts", "Z");
  }
  setTimeout(() => { if (last === decision) last = null; }, 30_000);
}

function hasKeys() {
  return Boolean(place.querySelector("[data-key]") ?? queue?.dataset.keys);
}

function failed(decision, error, name) {
  decision.box?.remove();
  decided = decided.filter((id) => id !== decision.id);
  if (last === decision) last = null;
  const isDecided = error instanceof Refused && [403, 404, 409].includes(error.status);
  if (decision.line) decision.line.hidden = isDecided && error.code !== "claim_lost";
  toast(`${name}: not stored. ${error.message}`, { level: "error" });
  if (!isDecided) bringBack(decision.element);
}

function bringBack(element) {
  if (exam()) {
    coming.unshift(exam().dataset.id);
    ahead.unshift(Promise.resolve(current()));
  }
  show(element);
}

async function undo() {
  const decision = last;
  if (!decision) return;
  last = null;
  decision.box?.remove();
  if (decision.takesBack) return undoAll(decision).catch((error) => toast(error.message, { level: "error" }));
  const done = await decision.done;
  if (!done) return;
  try {
    await post(decision.undo, { version: done.version });
    const element = await load(decision.undo.replace(/undo\/$/, ""));
    if (decision.line) decision.line.hidden = false;
    decided = decided.filter((id) => id !== decision.id);
    bringBack(element);
    say.textContent = "Taken back. The picture is here again.";
  } catch (error) {
    toast(error.message, { level: "error" });
  }
}

function skip() {
  return alone(async () => {
    const { id, skip: address } = exam().dataset;
    skipped.push(id);
    if (await advance()) post(address).catch((error) => toast(error.message, { level: "error" }));
  });
}

function back() {
  return alone(async () => {
    const id = skipped.pop();
    if (!id) return toast("There is nothing to go back to. A decision is taken back with Undo.");
    try {
      const element = await load(exam().dataset.item.replace(exam().dataset.id, id));
      bringBack(element);
    } catch (error) {
      toast(error.message, { level: "error" });
    }
  });
}

function toggle(button) {
  const stage = document.getElementById("stage");
  const isShown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", isShown);
  stage.dataset.blur = isShown ? "off" : "on";
  for (const others of place.querySelectorAll(".near, .alike ul")) others.dataset.blur = stage.dataset.blur;
  const picture = stage.querySelector("img");
  picture.alt = isShown ? picture.dataset.alt : "Hidden until it is shown";
  const { revealNote } = exam().dataset;
  if (isShown && revealNote) {
    post(revealNote).then(({ needs_break: needsBreak, reveals }) => {
      if (needsBreak) toast(`You have uncovered ${reveals} high-risk pictures within an hour. It is time for a break.`);
    }).catch(() => {});
  }
}

// --- The claim -----------------------------------------------------------------------------------

function startClock() {
  announced = new Set();
  renewedAt = Date.now();
  deadline = renewedAt + 1000 * Number(exam()?.dataset.left ?? 0);
  tick();
}

function tick() {
  const words = place.querySelector("[data-left-words]");
  if (!words) return;
  const left = Math.max(0, Math.round((deadline - Date.now()) / 1000));
  words.textContent = left ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "no longer";
  const due = ANNOUNCED_S.find((seconds) => left <= seconds && left > seconds - 5 && !announced.has(seconds));
  if (due) {
    announced.add(due);
    say.textContent = `This picture is yours for ${left} seconds more.`;
  }
}

async function renew() {
  const here = exam();
  if (!here) return;
  renewedAt = Date.now();
  try {
    const { left_s: left } = await post(here.dataset.claim);
    if (here === exam()) {
      deadline = Date.now() + 1000 * left;
      announced = new Set();
    }
  } catch (error) {
    if (here === exam() && error instanceof Refused) toast(error.message, { level: "error" });
  }
}

setInterval(tick, 1000);
for (const kind of ["keydown", "pointerdown"]) {
  addEventListener(kind, () => { if (exam() && Date.now() - renewedAt > RENEW_EVERY_MS) renew(); });
}

// --- What is pressed -----------------------------------------------------------------------------

place.addEventListener("submit", (event) => {
  const { submitter } = event;
  event.preventDefault();
  event.stopPropagation();
  if (submitter && "skip" in submitter.dataset) skip();
  else if (submitter && "back" in submitter.dataset) back();
  else if (submitter?.name === "together") decideTogether(submitter.value);
  else if (submitter?.name === "verb") decide(submitter.value);
});
place.addEventListener("click", (event) => {
  const button = event.target.closest("[data-show]");
  if (button) toggle(button);
});
// Out of the note by Escape, so that the single keys work again.
place.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.matches("textarea")) document.getElementById("stage").focus();
});
place.addEventListener("change", (event) => {
  if (event.target.name === "reason") document.getElementById("reason-missing").hidden = true;
});
if (exam()) {
  startClock();
  document.getElementById("stage").focus({ preventScroll: true });
  prefetch();
}
