// The library by keyboard, moving to the trash with undo, and coming back to the same place.

import { csrfToken, toast } from "./app.js";

const shelf = document.getElementById("shelf");

// Filters apply when they are chosen; the search when Enter is pressed, as in any form. Empty ones stay out of the address.
const filters = document.querySelector("[data-filters]");
filters?.addEventListener("change", (event) => {
  if (event.target.matches("select")) filters.requestSubmit();
});
filters?.addEventListener("submit", () => {
  for (const field of filters.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", (event) => {
  for (const field of filters?.elements ?? []) field.disabled = false;
  if (event.persisted) filters?.reset(); // back on a page whose address has other filters than were chosen last
});

// Leaving for a picture: the address remembers where we were, so that Back shows the page around it.
shelf?.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const address = new URL(location.href);
  address.searchParams.delete("before");
  address.searchParams.delete("after");
  address.searchParams.set("at", tile.id.slice(2));
  address.hash = tile.id;
  history.scrollRestoration = "manual"; // the browser's own would be pixels of a page that was longer
  history.replaceState(history.state, "", address);
});
if (location.hash.startsWith("#t-")) {
  const tile = document.getElementById(location.hash.slice(1));
  tile?.scrollIntoView({ block: "center" });
  linkOf(tile)?.focus({ preventScroll: true });
}

function linkOf(tile) {
  return tile?.querySelector("a");
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
  if (!tile || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (event.key in MOVES) {
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
