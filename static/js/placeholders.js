// What stands in for a picture until it has come: the blur that <img data-thumbhash> carries (ThumbHash in base64), painted
// as the background of the box around it. Only of pictures near the viewport, and only while they are waited for; without
// this the box has the colour that the server gave it.

const NEAR = "400px";
const LONG_SIDE = 32; // pixels of a placeholder
const SATURATION = 1.25; // colours come out paler than they went in, as so few levels are kept of them

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      if (!target.complete) paint(target);
    }
  },
  { rootMargin: NEAR },
);

/** Give the pictures in an element that have not come yet their placeholders, once they are near. */
export function standInFor(element) {
  for (const picture of element.querySelectorAll("img[data-thumbhash]")) if (!picture.complete) near.observe(picture);
}

function paint(picture) {
  const { style } = picture.parentElement;
  const clear = () => {
    style.backgroundImage = "";
  };
  picture.addEventListener("load", clear, { once: true });
  picture.addEventListener("error", clear, { once: true });
  style.backgroundImage = `url(${addressOfBlur(picture)})`;
  style.backgroundSize = getComputedStyle(picture).objectFit; // contain or cover, as the picture will lie
  style.backgroundPosition = "center";
  style.backgroundRepeat = "no-repeat";
}

function addressOfBlur(picture) {
  const [width, height] = ["width", "height"].map((side) => Number(picture.getAttribute(side)));
  const scale = LONG_SIDE / Math.max(width, height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pixels = new ImageData(canvas.width, canvas.height);
  draw(channelsOf(Uint8Array.from(atob(picture.dataset.thumbhash), (letter) => letter.charCodeAt(0))), pixels);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

/** Light, yellow against blue, red against green, and opacity: each as its waves {across, down, height}. */
function channelsOf(bytes) {
  const head = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16);
  const shape = bytes[3] | (bytes[4] << 8);
  const [isClear, isWide] = [head >> 23, shape >> 15];
  const long = isClear ? 5 : 7;
  const short = shape & 7;
  let next = isClear ? 12 : 10; // the place of the next wave, in halves of a byte
  const channel = (mean, scale, across, down) => {
    const waves = [{ across: 0, down: 0, height: mean }];
    for (let y = 0; y < down; y++) {
      for (let x = y ? 0 : 1; x * down < across * (down - y); x++, next++) {
        const level = (bytes[next >> 1] >> ((next & 1) * 4)) & 15;
        waves.push({ across: x, down: y, height: (level / 7.5 - 1) * scale * 2 });
      }
    }
    return waves;
  };
  const light = [(head & 63) / 63, ((head >> 18) & 31) / 31];
  const yellow = [((head >> 6) & 63) / 31.5 - 1, (((shape >> 3) & 63) / 63) * SATURATION];
  const red = [((head >> 12) & 63) / 31.5 - 1, (((shape >> 9) & 63) / 63) * SATURATION];
  return {
    light: channel(...light, Math.max(3, isWide ? long : short), Math.max(3, isWide ? short : long)),
    yellow: channel(...yellow, 3, 3),
    red: channel(...red, 3, 3),
    opacity: isClear ? channel((bytes[5] & 15) / 15, (bytes[5] >> 4) / 15, 5, 5) : [{ across: 0, down: 0, height: 1 }],
  };
}

function draw(channels, { width, height, data }) {
  const cosines = (length) =>
    Array.from({ length: 7 }, (_, wave) =>
      Float32Array.from({ length }, (_, place) => Math.cos((Math.PI / length) * wave * (place + 0.5))),
    );
  const [byColumn, byRow] = [cosines(width), cosines(height)];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sum = (waves) =>
        waves.reduce((total, wave) => total + wave.height * byColumn[wave.across][x] * byRow[wave.down][y], 0);
      const [light, yellow, red] = [sum(channels.light), sum(channels.yellow), sum(channels.red)];
      const blue = light - (2 / 3) * yellow;
      const r = (3 * light - blue + red) / 2;
      for (const value of [r, r - red, blue, sum(channels.opacity)]) data[at++] = value * 255; // clamped by its type
    }
  }
}

standInFor(document);
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) standInFor(node);
}).observe(document.body, { childList: true, subtree: true });
