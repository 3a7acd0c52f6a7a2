// The studio: the composer's options, live runs, and the seconds between two events. Every part works without this.

import { csrfToken, localiseTimes } from "./app.js";
import "./hints.js";

const composer = document.getElementById("composer");
const live = document.querySelector("[data-live]");
const runs = document.getElementById("runs");
const usd = (micros, places = 3) => {
  const [whole, rest] = (micros / 1e6).toFixed(6).split(".");
  return `$${Number(whole).toLocaleString("en")}.${rest.slice(0, places)}${rest.slice(places).replace(/0+$/, "")}`;
};
const say = (text) => (document.getElementById("said").textContent = text);
const versionOf = (card) => Number(card.dataset.version);
const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content;
};

// --- The composer ---------------------------------------------------------------------------------

if (composer) {
  const offers = JSON.parse(composer.dataset.offer);
  const prompt = composer.elements.prompt;
  const chosen = (name) => new FormData(composer).get(name);

  /** Choose what stands nearest among the options that are left, and say so. */
  const settle = (name, isOffered, why) => {
    const radios = [...composer.querySelectorAll(`input[name=${name}]`)];
    for (const radio of radios) {
      const reason = isOffered(radio.value) ? "" : why(radio.value);
      radio.disabled = Boolean(reason);
      radio.closest("label").title = reason;
    }
    const lost = radios.find((radio) => radio.checked && radio.disabled);
    if (!lost) return "";
    const free = radios.filter((radio) => !radio.disabled);
    const place = radios.indexOf(lost);
    const next = free.find((radio) => name === "aspect_ratio" && radio.value === "1:1")
      ?? free.sort((a, b) => Math.abs(radios.indexOf(a) - place) - Math.abs(radios.indexOf(b) - place))[0];
    if (!next) return "";
    next.checked = true;
    return `${why(lost.value)}; ${next.value} is chosen instead.`;
  };

  /** A switch that a model does not have is off, and says why. */
  const settleSwitch = (name, isOffered, why) => {
    const box = composer.querySelector(`input[type=checkbox][name=${name}]`);
    if (!box) return "";
    const wasOn = box.checked;
    box.disabled = !isOffered;
    box.closest("label").title = isOffered ? "" : why;
    if (!isOffered) box.checked = false;
    return wasOn && !isOffered ? `${why}.` : "";
  };

  const isClip = () => chosen("kind") === "video";
  /** What one of the chosen kind costs at a size, in micro-USD; undefined where nobody has set it. */
  const priceOf = (offer, size) => (isClip() ? offer.clip ?? undefined : offer.prices[size]);

  const refresh = () => {
    const offer = offers[chosen("model")];
    if (!offer) return;
    const changes = [
      isClip()
        ? settle("aspect_ratio", (ratio) => offer.clipRatios.includes(ratio), (ratio) => `No short video is made in ${ratio}`)
        : settle("aspect_ratio", (ratio) => offer.ratios.includes(ratio), (ratio) => `${offer.label} does not make ${ratio}`),
      settle("image_size", (size) => size in offer.prices, (size) => `${offer.label} does not make ${size}`),
      settle("modalities", (output) => offer.outputs.includes(output), () => `${offer.label} writes no caption`),
    ];
    changes.push(
      settle("count", (count) => offer.counts.includes(Number(count)), (count) => `${offer.label} does not make ${count} at once`),
      settleSwitch("grounding", offer.grounding, `${offer.label} does not search`),
      settleSwitch("include_thoughts", offer.thoughts, `${offer.label} shows no thoughts`),
      settleSwitch("seed", offer.seed, `${offer.label} takes no seed`),
    );
    // Pictures that were chosen stay in sight, so that nobody wonders where they went; the hint says what to do.
    const takesNone = !offer.references;
    document.getElementById("takes-none").hidden = !takesNone || !composer.querySelector(".brought input");
    document.getElementById("bring").hidden = takesNone;
    for (const box of composer.querySelectorAll(".brought input")) box.disabled = takesNone;
    const thinking = document.getElementById("thinking");
    thinking.hidden = thinking.disabled = !offer.thinking.length;
    const many = isClip() ? 1 : Number(chosen("count") ?? 1);
    const styles = document.getElementById("styles");
    styles.hidden = many < 2 || !offer.styles;
    for (const field of styles.querySelectorAll("[data-style]")) {
      field.hidden = Number(field.dataset.style) > many;
      field.querySelector("input").disabled = field.hidden || styles.hidden;
    }
    document.getElementById("changed").textContent = changes.filter(Boolean).join(" ");
    const size = chosen("image_size");
    for (const radio of composer.querySelectorAll("input[name=model]")) {
      const price = priceOf(offers[radio.value], size) ?? (isClip() ? undefined : Object.values(offers[radio.value].prices)[0]);
      radio.closest("label").querySelector(".price").textContent =
        price === undefined ? "No price is set" : `${usd(price)} ${isClip() ? "a video" : "an image"}`;
    }
    document.getElementById("in-words").textContent = [offer.label, chosen("aspect_ratio"), isClip() ? "Short video" : size, ...(many > 1 ? [`${many} images`] : [])].join(" · ");
    tellPrice(priceOf(offer, size), many);
  };

  const tellPrice = (each, many) => {
    const price = each === undefined ? undefined : each * many;
    document.getElementById("each").textContent = many > 1 && each !== undefined ? `${many} × ${usd(each)}` : "";
    const words = price === undefined ? "No price" : usd(price);
    const shown = document.getElementById("price");
    if (shown.textContent !== words) shown.textContent = words; // spoken only when it is another one
  };

  const count = () => {
    const length = [...prompt.value.trim()].length;
    const limit = Number(prompt.dataset.limit);
    const note = document.getElementById("prompt-note");
    note.textContent = length > limit ? `${length - limit} characters too many` : length > limit - 500 ? `${limit - length} characters left` : "";
    note.classList.toggle("is-over", length > limit);
  };

  const newest = { at: -Infinity, wish: "" };
  /** The second click of a double click asks for nothing, however fast the first one was answered. */
  composer.addEventListener("submit", (event) => {
    const form = new FormData(composer);
    form.delete("token");
    form.delete("csrfmiddlewaretoken");
    const wish = JSON.stringify([...form]);
    if (event.timeStamp - newest.at < 800 && wish === newest.wish) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else Object.assign(newest, { at: event.timeStamp, wish });
  }, true);

  composer.addEventListener("change", refresh);
  prompt.addEventListener("input", count);
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    composer.requestSubmit(composer.querySelector(".btn-generate"));
  });
  document.addEventListener("htmx:afterSwap", refresh);
  document.addEventListener("balance", refresh);
  refresh();
  count();
}

// --- Pictures that are brought along --------------------------------------------------------------

const brought = document.getElementById("brought");
const picker = document.getElementById("picker");

/** Add tiles to those that are chosen, each picture once. */
function bring(tiles) {
  for (const tile of tiles) {
    const { value } = tile.querySelector("input");
    brought.querySelector(`input[value="${CSS.escape(value)}"]`)?.closest("li").remove();
    tile.querySelector("input").checked = true;
    brought.append(tile);
  }
}

if (brought) {
  document.getElementById("pick").addEventListener("click", () => {
    picker.returnValue = "";
    picker.showModal();
  });
  picker.addEventListener("close", () => {
    if (picker.returnValue !== "use") return;
    bring([...picker.querySelectorAll("input:checked")].map((box) => box.closest("li")));
  });
  const files = document.getElementById("uploads"); // guests have none
  files?.addEventListener("change", async () => {
    if (!files.files.length) return;
    const button = files.closest("label");
    const form = new FormData();
    for (const file of files.files) form.append("uploads", file);
    button.setAttribute("aria-busy", "true");
    tellUpload("");
    try {
      const answer = await fetch(files.dataset.upload, {
        method: "POST", body: form, headers: { "X-CSRFToken": csrfToken(), "HX-Request": "true" },
      });
      const content = parse(await answer.text());
      if (answer.ok) bring([...content.querySelectorAll("li")]);
      else tellUpload(content.querySelector("[role=alert]")?.textContent ?? "The picture could not be kept. Try again.");
    } catch {
      tellUpload("The server could not be reached. Try again.");
    }
    files.value = "";
    button.removeAttribute("aria-busy");
  });
}

function tellUpload(text) {
  const place = document.getElementById("error-references");
  place.textContent = text;
  if (text) place.setAttribute("role", "alert");
  else place.removeAttribute("role");
}

// --- Answers of the server ----------------------------------------------------------------------

document.addEventListener("htmx:beforeRequest", ({ detail }) => detail.elt.querySelector?.("button[type=submit], button:not([type])")?.setAttribute("aria-busy", "true"));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  detail.elt.querySelector?.("[aria-busy]")?.removeAttribute("aria-busy");
  const prompt = composer?.elements.prompt;
  if (!prompt || detail.elt !== composer) return;
  const isWrong = Boolean(document.getElementById("prompt-error").textContent.trim());
  if (isWrong) prompt.setAttribute("aria-invalid", "true");
  else prompt.removeAttribute("aria-invalid");
  if (detail.successful && detail.xhr.status < 400) {
    document.getElementById("empty")?.remove();
    foldSheet();
  } else if (!detail.xhr.status) tellProblem("The server could not be reached. Your prompt is kept; you were not charged.");
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { xhr } = detail;
  if (xhr.status === 403 && composer) {
    tellProblem("This page is out of date: you have signed in again since it was opened. Your prompt is kept.", {
      label: "Load it anew", href: `/studio/?${wishAsQuery()}`,
    });
  }
  if (detail.target?.matches("article.run")) heldControl = controlIn(detail.target);
  if (xhr.status < 400) return dropOlder(detail);
  // A refusal is part of the page too: what happened, what to do, what it cost.
  const isOurs = /^(text\/html)/.test(xhr.getResponseHeader("Content-Type") ?? "") && [400, 402, 409, 422, 429, 503].includes(xhr.status);
  detail.shouldSwap = isOurs;
  detail.isError = !isOurs;
  if (!isOurs && xhr.status >= 500) tellProblem("Something went wrong on our side. Your prompt is kept; look at History before you send it again.");
});

// The button that was pressed may be gone with the old card: the focus stays on the card then.
let heldControl = null;
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  const card = detail.elt.closest?.("article.run");
  if (!card || !heldControl) return;
  focusIn(card, heldControl);
  heldControl = null;
});

/** The name of the control inside a card that has the focus, "card" without a name, null outside. */
function controlIn(card) {
  return card.contains(document.activeElement) ? document.activeElement.dataset.control ?? "card" : null;
}

function focusIn(card, control) {
  (card.querySelector(`[data-control="${control}"]`) ?? card).focus({ preventScroll: true });
}

/** An event may have brought the same run before the answer to the click did. */
function dropOlder(detail) {
  if (detail.elt !== composer) return;
  const content = parse(detail.serverResponse);
  const card = content.querySelector("article.run");
  const shown = card && document.getElementById(card.id);
  if (!shown) return;
  if (versionOf(shown) < versionOf(card)) return shown.remove();
  card.remove();
  detail.serverResponse = [...content.children].map((element) => element.outerHTML).join("");
}

function wishAsQuery() {
  const wish = new URLSearchParams(new FormData(composer));
  wish.delete("token");
  wish.delete("csrfmiddlewaretoken");
  wish.delete("uploads"); // files do not fit into an address
  return wish;
}

function tellProblem(text, link) {
  const place = document.getElementById("problem");
  if (!place) return;
  const box = document.createElement("div");
  box.className = "callout callout-warn callout-plain";
  box.setAttribute("role", "alert");
  const words = document.createElement("p");
  words.textContent = text;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.label;
    words.append(" ", anchor);
  }
  box.append(words);
  place.replaceChildren(box);
}

function foldSheet() {
  const handle = composer.querySelector(".sheet-handle");
  composer.dataset.sheet = "off";
  handle.setAttribute("aria-expanded", "false");
}

// --- Seconds between two events -------------------------------------------------------------------

const seconds = (ms) => Math.max(1, Math.round(ms / 1000));

function tick() {
  for (const bar of document.querySelectorAll("[role=progressbar][data-elapsed-ms]")) {
    bar.arrivedAt ??= performance.now();
    const expected = Number(bar.dataset.expectedMs);
    const elapsed = Number(bar.dataset.elapsedMs) + performance.now() - bar.arrivedAt;
    const percent = Math.min(95, Math.round((100 * elapsed) / Math.max(expected, 1)));
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", `${seconds(elapsed)} of about ${seconds(expected)} seconds`);
    bar.firstElementChild.style.width = `${percent}%`;
    const left = expected - elapsed;
    bar.closest(".run-live").querySelector("[data-left]").textContent =
      left > 0 ? `About ${seconds(left)} s left` : `Taking longer than usual, ${seconds(elapsed)} s so far`;
  }
}
if (runs) {
  tick();
  setInterval(tick, 1000);
}

// --- Live runs ------------------------------------------------------------------------------------

/** Put a newer state of a run in place; whoever had the focus inside it keeps it. */
function show(update) {
  const next = parse(update.html).firstElementChild;
  const before = document.getElementById(next.id);
  if (before && versionOf(before) >= update.version) return;
  if (before && grow(before, next)) return;
  if (before) {
    const held = controlIn(before);
    const isOpen = before.querySelector("details")?.open;
    before.replaceWith(next);
    if (isOpen && next.querySelector("details")) next.querySelector("details").open = true;
    if (held) focusIn(next, held);
  } else if (!insert(next)) return;
  document.getElementById("empty")?.remove();
  window.htmx?.process(next);
  localiseTimes(next);
  tick();
  showTile(update);
  showBalance(update.balance);
  next.said = update.said;
  if (!before || before.said !== update.said) say(update.said);
  document.body.dispatchEvent(new Event("run:changed"));
  if (update.status === "succeeded") document.body.dispatchEvent(new Event("run:succeeded"));
}

/** More thoughts or drafts and nothing else: only they are replaced, silently; a draft that is shown stays as it is. */
function grow(before, next) {
  const [shown, newer] = [before, next].map((card) => card.querySelector("[data-interim]"));
  if (!shown || !newer || before.dataset.face !== next.dataset.face || before.dataset.status !== next.dataset.status) return false;
  for (const draft of shown.querySelectorAll("li[id]")) newer.querySelector(`#${CSS.escape(draft.id)}`)?.replaceWith(draft);
  shown.replaceChildren(...newer.childNodes);
  before.dataset.version = next.dataset.version;
  return true;
}

/** In the order of time; false for a run that has its place on an earlier page. */
function insert(card) {
  if (!("newest" in runs.dataset)) return false;
  const older = [...runs.children].find((each) => Number(each.dataset?.created) <= Number(card.dataset.created));
  if (!older && document.getElementById("earlier")) return false;
  runs.insertBefore(card, older ?? null);
  return true;
}

function showTile({ id, tile }) {
  const rail = document.querySelector(".history");
  if (!rail) return;
  const next = parse(tile).firstElementChild;
  const before = document.getElementById(`tile-${id}`);
  if (before) return before.replaceWith(next);
  let list = rail.querySelector("ul");
  if (!list || rail.querySelector("h2")?.textContent !== "Today") {
    const heading = document.createElement("h2");
    heading.textContent = "Today";
    list = document.createElement("ul");
    rail.prepend(heading, list);
    document.getElementById("no-history")?.remove();
  }
  list.prepend(next);
}

function showBalance(html) {
  const shown = document.getElementById("balance");
  if (!shown) return;
  shown.replaceWith(parse(html).firstElementChild);
  document.dispatchEvent(new Event("balance"));
}

const WAITS_S = [1, 2, 5, 10, 20, 30];
let source = null;
let failures = 0;
let timer = 0;
let isSignedOut = false;

function address() {
  const cards = [...runs.querySelectorAll("article.run")];
  const open = cards.filter((card) => ["queued", "running"].includes(card.dataset.status));
  const query = new URLSearchParams();
  const told = cards.length && !open.includes(cards[0]) ? [...open, cards[0]] : open;
  if (told.length) query.set("seen", told.map((card) => `${card.id.slice(4)}:${card.dataset.version}`).join(","));
  if ("newest" in runs.dataset && cards.length) query.set("after", cards[0].id.slice(4));
  return `${live.dataset.live}?${query}`;
}

function connect() {
  clearTimeout(timer);
  // A hidden tab gives its connection back: browsers open no more than six to a site over HTTP/1.1.
  if (source || isSignedOut || document.hidden || !navigator.onLine) return;
  source = new EventSource(address());
  source.addEventListener("open", () => {
    failures = 0;
    tellConnection("");
  });
  source.addEventListener("run", (event) => show(JSON.parse(event.data)));
  source.addEventListener("signed-out", signedOut);
  source.addEventListener("error", lost);
}

function disconnect() {
  source?.close();
  source = null;
}

/** A stream that has ended is opened again at once; one that cannot be opened, ever more slowly. */
function lost() {
  disconnect();
  clearTimeout(timer);
  const wait = failures ? WAITS_S[Math.min(failures, WAITS_S.length) - 1] * 1000 : 200;
  failures += 1;
  if (failures > 1) tellConnection("Connection lost, trying again.");
  timer = setTimeout(probe, wait);
}

/** An event source does not tell a session that has ended from a server that is away; a plain request does. */
async function probe() {
  if (document.hidden || !navigator.onLine) return;
  try {
    const answer = await fetch(`${live.dataset.live}?probe=1`, { headers: { "X-CSRFToken": csrfToken() } });
    if (answer.status === 401) return signedOut();
    if (answer.ok) return connect();
  } catch {
    // still away
  }
  lost();
}

function signedOut() {
  isSignedOut = true;
  disconnect();
  const link = document.createElement("a");
  link.href = live.dataset.login;
  link.textContent = "Sign in again";
  tellConnection("You have been signed out. ", link);
}

function tellConnection(text, link) {
  const line = document.getElementById("connection");
  if (!line) return;
  line.hidden = !text;
  line.replaceChildren(text, ...(link ? [link] : []));
}

if (live && runs) {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  window.addEventListener("offline", disconnect);
  window.addEventListener("online", () => {
    failures = 0;
    connect();
  });
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => event.persisted && connect());
}

// --- The quote -------------------------------------------------------------------------------------

// What the wish would cost and leave, why it would be refused, and whether it was made before. Not by htmx, which
// complains in the console of every request that a page leaves behind.
const quoted = document.getElementById("quoted");
let quoteTimer = 0;
let quoteRequest = null;

async function askForQuote() {
  quoteRequest?.abort();
  if (!navigator.onLine) return;
  quoteRequest = new AbortController();
  const form = quoted.closest("form");
  const body = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));
  try {
    const headers = { "X-CSRFToken": csrfToken() };
    const answer = await fetch(quoted.dataset.url, { method: "POST", body, headers, signal: quoteRequest.signal, redirect: "error" });
    showQuote(answer.ok ? (await answer.text()).trim() : "");
  } catch {
    // Left, offline, or signed out: the price that stands there is still told again when it is asked for.
  }
}

function showQuote(html) {
  const next = parse(html);
  const { each, total } = next.firstElementChild?.dataset ?? {};
  if (total) { // the server's own figure: a price may have changed since the page was opened
    document.getElementById("price").textContent = usd(Number(total));
    document.getElementById("each").textContent = each === total ? "" : `${Number(total) / Number(each)} × ${usd(Number(each))}`;
  }
  localiseTimes(next);
  const template = document.createElement("template");
  template.content.append(next);
  if (quoted.innerHTML !== template.innerHTML) quoted.replaceChildren(template.content); // spoken when it is another one
}

if (quoted) {
  const soon = () => {
    clearTimeout(quoteTimer);
    quoteTimer = setTimeout(askForQuote, 250);
  };
  for (const name of ["input", "change"]) quoted.closest("form").addEventListener(name, soon);
  for (const name of ["balance", "htmx:afterSwap"]) document.addEventListener(name, soon);
  soon();
}
