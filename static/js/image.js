// The page of one picture: full size in the page itself, and a menu that arrows move through.

// <a data-full="dialog id">: without scripts it opens the file.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-full]");
  if (!opener || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  document.getElementById(opener.dataset.full).showModal();
});

// A click on the full picture shows its own pixels, or all of it again.
const full = document.getElementById("full"); // a clip has none
full?.addEventListener("click", (event) => {
  if (event.target.closest("[data-zoom]")) full.classList.toggle("is-actual");
  else if (event.target === full) full.close();
});
full?.addEventListener("close", () => full.classList.remove("is-actual"));
full?.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey) full.close();
});

// Menus: up and down move, Home and End too; down on the button opens.
document.addEventListener("keydown", (event) => {
  const opener = event.target.closest("[data-menu]");
  if (opener && event.key === "ArrowDown") {
    event.preventDefault();
    document.getElementById(opener.getAttribute("popovertarget")).showPopover({ source: opener });
    return;
  }
  const menu = event.target.closest(".menu");
  if (!menu) return;
  const items = [...menu.querySelectorAll("a, button")];
  const here = items.indexOf(event.target.closest("a, button"));
  const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  items[(next + items.length) % items.length].focus();
});
document.addEventListener("click", (event) => {
  event.target.closest(".menu a")?.closest("[popover]").hidePopover();
});

// Browsers that cannot anchor a menu to its button yet: it is put there.
if (!CSS.supports("position-area: block-end")) {
  for (const opener of document.querySelectorAll("[data-menu]")) {
    const menu = document.getElementById(opener.getAttribute("popovertarget"));
    menu.addEventListener("toggle", () => {
      const box = opener.getBoundingClientRect();
      menu.style.inset = `${box.bottom + 6}px ${Math.max(8, innerWidth - box.right)}px auto auto`;
    });
  }
}
