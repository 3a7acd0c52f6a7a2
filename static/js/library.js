// The library by keyboard, choosing several pictures, moving to the trash with undo, and coming back to the same place.

import { csrfToken, toast } from "./app.js";
import { keepWhole } from "./shelf.js";

const shelf = document.getElementById("shelf");

// Filters apply when they are chosen; the search when Enter is pressed, as in any form. Empty ones stay out of the address.
const filters = document.querySelector("[data-filters]");
filters?.addEventListener("change", (event) => {
  if (event.target.matches("select, [type=checkbox]")) filters.requestSubmit();
});
filters?.addEventListener("submit", () => {
  for (const field of filters.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", (event) => {
  for (const field of filters?.elements ?? []) field.disabled = false;
  if (event.persisted) filters?.reset(); // back on a page whose address has other filters than were chosen last
});

// Leaving for a picture: the address remembers where we were, so that Back shows the page around it, at the same height.
shelf?.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const address = new URL(location.href);
  address.searchParams.delete("before");
  address.searchParams.delete("after");
  address.searchParams.set("at", tile.id.slice(2));
  address.hash = tile.id;
  history.scrollRestoration = "manual"; // the browser's own would be pixels of a page that was longer
  history.replaceState({ ...history.state, top: tile.getBoundingClientRect().top }, "", address);
});
if (location.hash.startsWith("#t-")) {
  const tile = document.getElementById(location.hash.slice(1));
  const top = history.state?.top;
  if (tile && top !== undefined) scrollBy({ top: tile.getBoundingClientRect().top - top, behavior: "instant" });
  else tile?.scrollIntoView({ block: "center" });
  linkOf(tile)?.focus({ preventScroll: true });
}

function linkOf(tile) {
  return tile?.querySelector("a");
}

function boxOf(tile) {
  return tile.querySelector(".pick input");
}

function tiles() {
  return [...shelf.querySelectorAll("li.tile:not([hidden])")];
}

/** The nearest tile in the next row above (-1) or below (1). */
function acrossRows(from, direction) {
  const box = from.getBoundingClientRect();
  const middle = box.left + box.width / 2;
  const distance = (tile) => {
    const other = tile.getBoundingClientRect();
    return [direction * (other.top - box.top), Math.max(other.left - middle, middle - other.right, 0)];
  };
  const beyond = tiles().map((tile) => ({ tile, away: distance(tile) })).filter(({ away }) => away[0] > 1);
  beyond.sort((one, two) => one.away[0] - two.away[0] || one.away[1] - two.away[1]);
  return beyond[0]?.tile;
}

const MOVES = {
  ArrowLeft: (tile) => tiles()[tiles().indexOf(tile) - 1],
  ArrowRight: (tile) => tiles()[tiles().indexOf(tile) + 1],
  ArrowUp: (tile) => acrossRows(tile, -1),
  ArrowDown: (tile) => acrossRows(tile, 1),
};

shelf?.addEventListener("keydown", (event) => {
  const tile = event.target.closest("li.tile");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.toLowerCase() === "x") {
    event.preventDefault();
    choose(boxOf(tile), { isRange: event.shiftKey });
  } else if (event.shiftKey) {
    return;
  } else if (event.key in MOVES) {
    event.preventDefault();
    const next = MOVES[event.key](tile);
    linkOf(next)?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Delete") {
    event.preventDefault();
    moveToTrash(tile);
  } else if (event.key.toLowerCase() === "d") {
    event.preventDefault();
    download(tile.id.slice(2));
  }
});

function download(id) {
  const link = document.createElement("a");
  link.href = `/api/v1/images/${id}/file?download=1`;
  link.download = "";
  link.click();
}

function moveToTrash(tile) {
  const id = tile.id.slice(2);
  const all = tiles();
  const next = all[all.indexOf(tile) + 1] ?? all[all.indexOf(tile) - 1];
  tile.hidden = true;
  linkOf(next)?.focus({ preventScroll: true });
  const show = () => {
    tile.hidden = false;
    linkOf(tile).focus();
  };
  const moved = send(id, "trash").catch((error) => {
    undo.remove();
    show();
    toast(error.message, { level: "error" });
    throw error;
  });
  const undo = toast("Moved to trash.", {
    undo: {
      label: "Undo",
      action: async () => {
        show();
        try {
          await moved;
        } catch {
          return; // it never went, and that was told
        }
        send(id, "restore").catch((error) => {
          tile.hidden = true;
          toast(error.message, { level: "error" });
        });
      },
    },
  });
  moved.catch(() => {});
}

/** Ask the server for a verb on a picture; an Error carries what people are told. */
async function send(id, verb) {
  let answer;
  try {
    answer = await fetch(`/images/${id}/${verb}/`, {
      method: "POST",
      headers: { "X-CSRFToken": csrfToken(), "HX-Request": "true", "HX-Current-URL": location.href },
    });
  } catch {
    throw new Error("The server could not be reached. The picture is where it was.");
  }
  const elsewhere = answer.headers.get("HX-Redirect"); // signed out meanwhile
  if (elsewhere) location.assign(elsewhere);
  if (answer.status === 204) return;
  const isText = answer.headers.get("Content-Type")?.startsWith("text/plain");
  throw new Error(isText ? await answer.text() : "That did not work. The picture is where it was.");
}

// Choosing several: the boxes belong to the form of the bar, which works without any of this.

const bar = document.getElementById("chosen");
let lastBox = null;

function boxes() {
  return [...document.querySelectorAll("input[form=chosen]")].filter((box) => !box.closest("[hidden]"));
}

function showChosen() {
  const count = boxes().filter((box) => box.checked).length;
  bar.querySelector("[data-chosen]").textContent = `${count} selected`;
  if (count) bar.dataset.count = count;
  else delete bar.dataset.count;
  shelf?.classList.toggle("is-picking", count > 0);
  if (shelf) keepWhole(count > 0);
}

/** Tick or untick a box, or all from the last one to this one. */
function choose(box, { isRange }) {
  const all = boxes();
  const from = isRange && lastBox ? all.indexOf(lastBox) : -1;
  const to = all.indexOf(box);
  const range = from < 0 ? [box] : all.slice(Math.min(from, to), Math.max(from, to) + 1);
  const state = from < 0 ? !box.checked : true;
  for (const each of range) each.checked = state;
  lastBox = box;
  keepToLimit(range);
  showChosen();
}

function keepToLimit(latest) {
  const most = Number(bar.dataset.max);
  const over = boxes().filter((box) => box.checked).length - most;
  if (over <= 0) return;
  for (const box of latest.slice(-over)) box.checked = false;
  toast(`Up to ${most} pictures can be selected at once.`, { level: "error" });
}

document.addEventListener("change", (event) => {
  if (!event.target.matches("input[form=chosen]")) return;
  keepToLimit([event.target]);
  lastBox = event.target;
  showChosen();
});
// A click with Shift ticks all up to the last one that was ticked.
shelf?.addEventListener("click", (event) => {
  if (!event.shiftKey || !event.target.matches("input[form=chosen]") || !lastBox) return;
  event.preventDefault();
  const box = event.target;
  setTimeout(() => choose(box, { isRange: true })); // until then the browser takes the click back
});
bar?.addEventListener("reset", () => setTimeout(showChosen));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && bar?.dataset.count && !event.target.closest("dialog")) bar.reset();
});
addEventListener("pageshow", () => bar && showChosen());

const VERBS = {
  favourite: { said: "Marked as favourites", back: "unfavourite" },
  unfavourite: { said: "Taken off the favourites", back: "favourite", leaves: true },
  trash: { said: "Moved to trash", back: "restore", leaves: true },
  restore: { said: "Restored", back: "trash", leaves: true },
};

bar?.addEventListener("submit", (event) => {
  const action = event.submitter?.value;
  if (action === "download") {
    // The page stays, so the form is not busy for good.
    setTimeout(() => {
      delete bar.dataset.busy;
      event.submitter.removeAttribute("aria-busy");
    }, 1000);
  }
  if (!(action in VERBS)) return;
  event.preventDefault();
  actOnChosen(action);
});

/** Shows at once what is asked for; what the server did not do comes back with its reason. */
function actOnChosen(action) {
  const verb = VERBS[action];
  const chosen = boxes().filter((box) => box.checked);
  const items = new Map(chosen.map((box) => [box.value, box.closest("li")]));
  const show = (ids, isShown) => {
    for (const id of ids) if (verb.leaves) items.get(id).hidden = !isShown;
  };
  const ids = [...items.keys()];
  if (!ids.length) return;
  bar.reset();
  show(ids, false);
  const done = actOn(action, ids);
  const undo = toast(`${verb.said}: ${ids.length}.`, {
    undo: {
      label: "Undo",
      action: async () => {
        show(ids, true);
        try {
          await actOn(verb.back, await done);
        } catch (error) {
          toast(error.message, { level: "error" });
        }
      },
    },
  });
  done.then(
    (finished) => {
      const missed = ids.filter((id) => !finished.includes(id));
      if (!missed.length) return;
      show(missed, true);
      toast(`${missed.length} could not be found.`, { level: "error" });
    },
    (error) => {
      undo.remove();
      show(ids, true);
      toast(error.message, { level: "error" });
    },
  );
}

/** The ids for which it was done; an Error carries what people are told. */
async function actOn(action, ids) {
  let answer;
  try {
    answer = await fetch("/api/v1/images/actions", {
      method: "POST",
      headers: { "X-CSRFToken": csrfToken(), "Content-Type": "application/json" },
      body: JSON.stringify({ action, ids }),
    });
  } catch {
    throw new Error("The server could not be reached. Nothing was changed.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail ?? "That did not work. Nothing was changed.");
  return body.filter((result) => !result.error).map((result) => result.id);
}
