// A shelf of any length: what is far from the viewport gives up its contents and keeps its box, so that nothing moves and
// memory stays within bounds; and what was loaded on the way is told to those who do not see it.

const FAR = "3000px";

const shelf = document.getElementById("shelf");
const contents = new Map(); // of each tile that is empty now
let isKeptWhole = false;

const distance = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) isIntersecting ? fill(target) : empty(target);
  },
  { rootMargin: `${FAR} 0px` },
);

function empty(tile) {
  const isInUse = tile.hidden || tile.contains(document.activeElement) || tile.querySelector(".clip-live, :checked");
  if (isKeptWhole || isInUse || contents.has(tile)) return;
  contents.set(tile, tile.innerHTML);
  // Chromium keeps every picture that has chosen among several sizes, also when it is gone; the order matters to it.
  for (const picture of tile.querySelectorAll("img")) for (const name of ["sizes", "srcset", "src"]) picture.removeAttribute(name);
  tile.replaceChildren();
}

function fill(tile) {
  if (!contents.has(tile)) return;
  tile.innerHTML = contents.get(tile);
  contents.delete(tile);
}

/** Have all tiles whole for as long as somebody chooses among them: a range may reach from any of them to any other. */
export function keepWhole(isWanted) {
  if (isKeptWhole === isWanted) return;
  isKeptWhole = isWanted;
  if (isWanted) for (const tile of [...contents.keys()]) fill(tile);
  else for (const tile of shelf.querySelectorAll("li.tile")) look(tile);
}

function look(tile) {
  distance.unobserve(tile);
  distance.observe(tile); // says where it is, at once
}

// The next page has taken the place of `.more`.

const said = document.createElement("p");
said.className = "visually-hidden";
said.setAttribute("role", "status");
let hadFocus = false;

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  hadFocus = detail.target.contains(document.activeElement);
});

function welcome(added) {
  const tiles = added.flatMap((node) => [...node.querySelectorAll("li.tile")]);
  if (!tiles.length) return;
  tiles.forEach(look);
  if (hadFocus) tiles[0].querySelector("a").focus({ preventScroll: true });
  hadFocus = false;
  const isLast = !shelf.querySelector(".more");
  said.textContent = `${tiles.length} more picture${tiles.length === 1 ? "" : "s"}${isLast ? ", which are the last" : ""}.`;
}

if (shelf) {
  shelf.after(said);
  shelf.querySelectorAll("li.tile").forEach(look);
  new MutationObserver((changes) => {
    const added = changes.flatMap(({ addedNodes }) => [...addedNodes]);
    welcome(added.filter((node) => node.nodeType === Node.ELEMENT_NODE));
  }).observe(shelf, { childList: true });
}
