// Short clips on their posters: <button data-clip="address"> beside a .pic plays it there; pressed again, or at its end,
// the poster is back. Nothing starts by itself, so nothing moves for those who asked their system for less motion.

const pictureOf = (button) => button.parentElement.querySelector(".pic");

const stop = (button) => {
  pictureOf(button).querySelector(".clip-live")?.remove();
  button.setAttribute("aria-pressed", "false");
};

const play = (button) => {
  const isFilm = "film" in button.dataset;
  const live = document.createElement(isFilm ? "video" : "img");
  live.className = "clip-live";
  if (isFilm) {
    Object.assign(live, { muted: true, playsInline: true, autoplay: true });
    live.addEventListener("ended", () => stop(button));
  } else live.alt = ""; // the poster under it says what it shows
  live.addEventListener("error", () => stop(button));
  live.src = button.dataset.clip;
  pictureOf(button).append(live);
  button.setAttribute("aria-pressed", "true");
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-clip]");
  if (!button) return;
  const others = document.querySelectorAll("[data-clip][aria-pressed=true]");
  const isPlaying = button.getAttribute("aria-pressed") === "true";
  for (const other of others) stop(other); // one at a time
  if (!isPlaying) play(button);
});
