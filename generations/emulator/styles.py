"""Ten ways to fill a canvas: each style turns a random generator, a size and a palette into an RGB picture.

Lengths follow the shorter side or the area, never the longer side, so that 8:1 and 1:8 are composed as well as 1:1.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from generations.emulator.brushes import (
    Colour,
    Palette,
    enlarged,
    fill_below,
    glow,
    gradient_strip,
    noise_field,
    noise_line,
    ramp,
    soft_size,
    solid,
    stretched,
    widen,
)

Style = Callable[[np.random.Generator, int, int, Palette], Image.Image]


def ridges(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Layered mountains under a low sun."""
    pal, unit = palette.colours, min(w, h)
    sky = np.stack([pal[2] * 0.35 + pal[1] * 0.65, pal[1] * 0.35 + pal[0] * 0.65, pal[0]])
    cx, cy, r = w * rng.uniform(0.25, 0.75), h * rng.uniform(0.2, 0.42), unit * rng.uniform(0.05, 0.1)
    image = ImageChops.screen(widen(gradient_strip(sky, h), w), glow((w, h), (cx, cy), unit * 0.6, pal[1] * 0.55))
    side = int(r) + 2
    disc = Image.new("L", (4 * side, 4 * side), 0)
    ImageDraw.Draw(disc).ellipse([2 * (side - r), 2 * (side - r), 2 * (side + r), 2 * (side + r)], fill=255)
    image.paste(solid(pal[0] * 0.4 + 153), (int(cx) - side, int(cy) - side), disc.reduce(2))
    layers = int(rng.integers(5, 8))
    for i in range(layers):
        t = (i + 1) / layers
        line = noise_line(rng, w, octaves=6, base=max(2, round((2 + 2 * t) * w / h)), gain=0.46)
        line = h * (0.36 + 0.5 * t**1.1) + line * unit * (0.13 - 0.05 * t)
        near, far = ramp(pal, np.array([0.25 + 0.75 * t, max(0, 0.05 + 0.72 * t)]))
        foot = far * 0.75 + pal[0] * 0.25 * (1 - t) + near * 0.25 * t
        fill_below(image, line, gradient_strip(np.stack([near, far, foot]), h, 0.8))
    return image


def dunes(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Long dunes, or folded silk, in raking light."""
    pal = palette.colours
    lw, lh = soft_size(w, h, 270_000)
    unit = min(lw, lh)
    image = np.asarray(widen(gradient_strip(np.stack([pal[2], pal[1], pal[0]]), lh), lw)).astype(np.float32)
    count = int(rng.integers(5, 8)) * (2 if h > 2 * w else 1)
    for i in range(count):
        t = (i + 1) / count
        line = noise_line(rng, lw, octaves=2, base=max(1, round(lw / lh)), gain=0.35)
        line = line * min(lh * 0.1, unit * 0.16) + lh * (0.3 + 0.6 * t)
        start = int(np.clip(line.min() - 1, 0, lh - 1))
        gap = np.arange(start, lh, dtype=np.float32)[:, None] - line[None, :]
        lit = np.clip(0.5 - np.gradient(line) * 1.1 * (1.2 - 0.5 * t), 0, 1).astype(np.float32)[None, :]
        shade = ramp(pal, 0.12 + 0.5 * t + 0.34 * np.sqrt(np.clip(gap / (lh * 0.3), 0, 1)) - 0.3 * lit)
        image[start:] += (shade - image[start:]) * np.clip(gap + 0.5, 0, 1)[..., None]
    return enlarged(image, w, h)


def skyline(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """A city by night above its own reflection."""
    pal, unit, horizon = palette.colours, min(w, h), int(h * rng.uniform(0.66, 0.74))
    image = Image.new("RGB", (w, h))
    image.paste(widen(gradient_strip(pal[[4, 3, 2, 1]], horizon), w), (0, 0))
    light = glow((w, h), (w * rng.uniform(0.3, 0.7), horizon), unit * 0.7, pal[1] * 0.6)
    image = ImageChops.screen(image, light)
    draw, tallest = ImageDraw.Draw(image), min(horizon, unit * 1.6)
    for layer in range(3):
        t = (layer + 1) / 3
        shade = ramp(pal, np.array([0.55 + 0.42 * t]))[0]
        x = -int(unit * 0.05)
        while x < w:
            width = int(unit * rng.uniform(0.04, 0.1) * (0.7 + 0.5 * t))
            top = horizon - int(tallest * rng.uniform(0.2, 0.62) * (1.15 - 0.38 * t))
            draw.rectangle([x, top, x + width, horizon], fill=solid(shade))
            if rng.random() < 0.3:
                mast = (x + width // 2, top - int(unit * 0.06), x + width // 2, top)
                draw.line(mast, fill=solid(shade), width=max(1, unit // 300))
            _light_windows(rng, draw, (x, top, width, horizon), shade, pal, 0.22 * t, max(5, int(unit * 0.016)))
            x += width + int(unit * rng.uniform(0, 0.018))
    image.paste(_reflection(rng, image, horizon, pal[4] * 0.18), (0, horizon))
    return image


def _light_windows(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    house: tuple[int, int, int, int],
    shade: np.ndarray,
    pal: np.ndarray,
    share: float,
    step: int,
) -> None:
    x, top, width, ground = house
    columns, rows = range(x + step // 2, x + width - step // 2, step), range(top + step, ground - step, step)
    lit = np.argwhere(rng.random((len(rows), len(columns))) < share)
    shine = rng.uniform(0.45, 1, (len(lit), 1))
    lamps = pal[(rng.random(len(lit)) > 0.75).astype(int)] * shine + shade * (1 - shine)
    for (row, column), lamp in zip(lit.tolist(), lamps.astype(int).tolist(), strict=True):
        wx, wy = columns[column], rows[row]
        draw.rectangle([wx, wy, wx + step // 3, wy + step // 2], fill=tuple(lamp))


def _reflection(rng: np.random.Generator, image: Image.Image, horizon: int, tint: np.ndarray) -> Image.Image:
    """What stands above the horizon, upside down, blurred downwards and shifted by ripples."""
    w, depth = image.width, image.height - horizon
    mirror = image.crop((0, max(0, horizon - depth), w, horizon)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((w, max(2, depth // 14)), Image.Resampling.BILINEAR)
    pixels = np.asarray(mirror.resize((w, depth), Image.Resampling.BICUBIC))
    ripple = noise_line(rng, depth, octaves=5, base=24) * min(image.size) * 0.008
    rows = [np.roll(row, -int(shift), axis=0) for row, shift in zip(pixels, ripple, strict=True)]
    dimmed = Image.fromarray(np.stack(rows)).point(lambda value: value * 0.72)
    return ImageChops.add(dimmed, Image.new("RGB", dimmed.size, solid(tint)))


def poster(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """A screen print of tiles: arcs, rings, bars, steps."""
    k, hexes = 2, palette.hexes
    cell = min(w, h) / int(rng.integers(3, 5))
    across, down = max(1, round(w / cell)), max(1, round(h / cell))
    cw, ch = w * k / across, h * k / down
    image = Image.new("RGB", (w * k, h * k), hexes[0])
    draw = ImageDraw.Draw(image)
    ground = None
    for j in range(down):
        for i in range(across):
            ground = int(rng.choice([c for c in range(5) if c != ground]))
            ink = int(rng.choice([c for c in range(5) if c != ground]))
            box = (round(i * cw), round(j * ch), round((i + 1) * cw), round((j + 1) * ch))
            draw.rectangle(box, fill=hexes[ground])
            _print_tile(draw, box, int(rng.integers(7)), hexes[ground], hexes[ink])
    return image.reduce(k)


def _print_tile(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], kind: int, ground: str, ink: str) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    match kind:
        case 0:
            draw.pieslice([x0 - w, y0 - h, x1, y1], 0, 90, fill=ink)
        case 1:
            draw.pieslice([x0, y0, x1 + w, y1 + h], 180, 270, fill=ink)
        case 2:
            for share, colour in ((0.16, ink), (0.336, ground)):
                draw.ellipse([x0 + w * share, y0 + h * share, x1 - w * share, y1 - h * share], fill=colour)
        case 3:
            for bar in range(0, 6, 2):
                draw.rectangle([x0, y0 + h * bar / 6, x1, y0 + h * (bar + 1) / 6], fill=ink)
        case 4:
            draw.polygon([(x0, y1), (x1, y1), (x1, y0)], fill=ink)
        case 5:
            draw.pieslice([x0, y0 - h // 2, x1, y1 - h // 2], 0, 180, fill=ink)
            draw.pieslice([x0, y0 + h // 2, x1, y1 + h // 2], 0, 180, fill=ink)


def flow(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Strokes that follow a current: hair, wind, ink in water."""
    k, pal = 2, palette.colours
    unit = min(min(w, h) * 1.9, math.sqrt(w * h))
    gw, gh = max(24, w // 8), max(24, h // 8)
    angle = noise_field(rng, gw, gh, cells=2, octaves=2) * math.tau * 1.3 + rng.uniform(0, math.tau)
    tone = stretched(noise_field(rng, gw, gh, cells=2, octaves=2))
    count, steps = int(560 * max(1, w * h / unit**2)), 20
    px, py = rng.uniform(-0.1, 1.1, count) * w, rng.uniform(-0.1, 1.1, count) * h
    path = np.empty((count, steps, 2), np.float32)
    shade = np.empty(count)
    for step in range(steps):
        ix = np.clip((px / w * gw).astype(int), 0, gw - 1)
        iy = np.clip((py / h * gh).astype(int), 0, gh - 1)
        if step == 0:
            shade = np.clip(tone[iy, ix] * 0.8 + rng.normal(0, 0.1, count) + 0.02, 0, 0.86)
        path[:, step, 0], path[:, step, 1] = px * k, py * k
        px, py = px + np.cos(angle[iy, ix]) * unit * 0.019, py + np.sin(angle[iy, ix]) * unit * 0.019
    image = Image.new("RGB", (w * k, h * k), palette.hexes[4])
    draw = ImageDraw.Draw(image)
    colours = ramp(pal, shade)
    widths = rng.choice([0.004, 0.008, 0.014, 0.021], count, p=[0.25, 0.35, 0.28, 0.12]) * unit * k
    for i in np.argsort(-shade):
        draw.line(path[i].ravel().tolist(), fill=solid(colours[i]), width=max(1, int(widths[i])))
    return image.reduce(k)


def mesh(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Soft colours out of focus, melting into each other."""
    pal = palette.colours
    lw, lh = soft_size(w, h, 26_000)
    unit = min(lw, lh)
    y, x = np.mgrid[0:lh, 0:lw].astype(np.float32) / unit
    x = x + (noise_field(rng, lw, lh, cells=2, octaves=2) - 0.5) * 0.55
    y = y + (noise_field(rng, lw, lh, cells=2, octaves=2) - 0.5) * 0.55
    total, weight = np.zeros((lh, lw, 3), np.float32), np.zeros((lh, lw, 1), np.float32)
    for i in range(9 + round(4 * (max(lw, lh) / unit - 1))):
        cx, cy = rng.uniform(0, lw / unit), rng.uniform(0, lh / unit)
        pull = 1 / ((x - cx) ** 2 + (y - cy) ** 2 + 0.006) ** 1.5
        total += pull[..., None] * (pal[i % 5] / 255) ** 2.2
        weight += pull[..., None]
    return enlarged((total / weight) ** (1 / 2.2) * 255, w, h)


def orbs(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """A still life of stone spheres on a table by a window."""
    pal = palette.colours
    lw, lh = soft_size(w, h, 270_000)
    unit, table = min(lw, lh), lh * rng.uniform(0.6, 0.68)
    y, x = np.mgrid[0:lh, 0:lw].astype(np.float32)
    edge = int(table) + 1
    wall_light = x[:edge] / lw * 0.6 + (1 - y[:edge] / table) * 0.4
    wall = ramp(np.stack([pal[1] * 0.6 + pal[0] * 0.4, pal[0], pal[1]]), wall_light)
    floor = ramp(np.stack([pal[1], pal[1] * 0.7 + pal[2] * 0.3]), (y[edge:] - table) / (lh - table))
    image = np.concatenate([wall, floor])
    image *= 1 - 0.12 * np.exp(-np.abs(y[:, :1] - table) / (unit * 0.05))[..., None]
    count = min(int(rng.integers(3, 6)) * max(1, round(w / h * 0.75)), 22)
    radii = unit * rng.uniform(0.07, 0.15, count) * (1.6 if h > 2 * w else 1)
    radii *= min(1, lw * 0.9 / (radii.sum() * 2))
    gaps = rng.dirichlet(np.ones(count + 1)) * max(0, lw * 0.72 - radii.sum() * 1.76) * (w > 1.6 * h)
    left = lw * 0.5 - (radii.sum() * 1.76 + gaps[1:-1].sum()) / 2
    spots = []
    for i, r in enumerate(radii):
        left += r * 0.88 + (gaps[i] if i else 0)
        spots.append((table + unit * rng.uniform(0.03, 0.17), left, r, pal[(i * 2 + 1) % 5]))
        left += r * 0.88
    for base, cx, r, colour in sorted(spots, key=lambda spot: spot[0]):
        _place_orb(image, x, y, (cx, base, r), colour)
    return enlarged(image, w, h)


def _place_orb(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, spot: tuple[float, float, float], colour: np.ndarray
) -> None:
    """Shadow first, then the lit body, in the small window that they touch."""
    cx, base, r = spot
    h, w = x.shape
    x0, x1 = (int(np.clip(edge, 0, w)) for edge in (cx - 2.4 * r, cx + 4.2 * r))
    y0, y1 = (int(np.clip(edge, 0, h)) for edge in (base - 2.1 * r, base + r))
    px, py, part = x[y0:y1, x0:x1], y[y0:y1, x0:x1], image[y0:y1, x0:x1]
    shadow = np.exp(-(((px - cx - r * 0.8) / (r * 1.3)) ** 2 + ((py - base + r * 0.06) / (r * 0.24)) ** 2))
    part *= 1 - 0.46 * shadow[..., None]
    dx, dy = (px - cx) / r, (py - base + r) / r
    squared = dx * dx + dy * dy
    z = np.sqrt(np.clip(1 - squared, 0, 1))
    light = np.clip(-0.55 * dx - 0.6 * dy + 0.58 * z, 0, 1)
    rim = np.clip(dy, 0, 1) * (1 - z) * 0.35
    body = (colour * 0.85 + 18) * (0.3 + 0.85 * light + rim)[..., None] + (light**24)[..., None] * 120
    part += (np.clip(body, 0, 255) - part) * np.clip((1 - np.sqrt(squared)) * r + 0.5, 0, 1)[..., None]


def aurora(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Northern lights and sharp stars over a black spruce line."""
    pal, unit = palette.colours, min(w, h)
    lw, lh = soft_size(w, h, 220_000)
    y = np.linspace(0, 1, lh, dtype=np.float32)[:, None]
    sky = np.repeat(ramp(np.stack([pal[4] * 0.6, pal[4], pal[3]]), y), lw, 1)
    for i in range(3):
        base = 0.58 + 0.12 * noise_line(rng, lw, octaves=3, base=2) - 0.1 * i
        rays = 0.55 + 0.45 * noise_line(rng, lw, octaves=5, base=max(3, round(8 * w / h)), gain=0.6)
        gap = base[None, :] - y
        fall = np.float32(rng.uniform(3.2, 5.0))
        curtain = np.exp(np.where(gap > 0, -gap * fall, gap * 38)) * np.clip(rays, 0.08, 1.3)[None, :]
        sky += curtain[..., None] * (pal[1] * (0.75 - 0.18 * i) + pal[2] * 0.25 * i) * 0.62
    image = enlarged(sky, w, h)
    draw = ImageDraw.Draw(image)
    stars = zip(rng.uniform(0, w, 160), rng.uniform(0, h * 0.62, 160), rng.uniform(165, 250, 160), strict=True)
    for sx, sy, shine in stars:
        r = 0.4 if shine < 225 else max(0.6, unit / 900)
        colour = (int(shine), int(shine), int(min(255, shine + 14)))
        draw.ellipse([sx - r, sy - r, sx + r, sy + r], fill=colour)
    line = h * 0.8 + noise_line(rng, w, octaves=6, base=4) * unit * 0.06
    trees = np.abs(noise_line(rng, w, octaves=3, base=max(30, w // 14), gain=0.7)) * unit * 0.035
    for lift, dark in ((0.0, 0.55), (unit * 0.06, 0.25)):
        fill_below(image, line + lift - trees, Image.new("RGB", (1, h), solid(pal[4] * dark)))
    return image


def botanical(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """A herbarium plate: stems with paired leaves."""
    k, pal, hexes = 2, palette.colours, palette.hexes
    image = Image.new("RGB", (w * k, h * k), solid(pal[0] * 0.96))
    draw, unit = ImageDraw.Draw(image), min(w, h) * k
    stems = max(1, round(w / h * 1.6)) if w > h else int(rng.integers(1, 3))
    crowding = max(1.0, h / w * 0.5)
    for stem in range(stems):
        x0, y0 = w * k * ((stem + 0.5) / stems) + rng.uniform(-0.05, 0.05) * unit, h * k * 1.02
        tall, sway = h * k * rng.uniform(0.72, 0.9), rng.uniform(-0.16, 0.16) * unit
        pairs = round(int(rng.integers(8, 12)) * crowding)
        t = np.linspace(0, 1, 50)
        stalk = np.stack([x0 + sway * t**2, y0 - tall * t], -1).ravel().tolist()
        draw.line(stalk, fill=hexes[3], width=max(2, int(unit * 0.005)))
        for i in range(pairs):
            p = 0.14 + 0.8 * i / pairs
            foot = (x0 + sway * p**2, y0 - tall * p)
            length = unit * (0.27 - 0.17 * p) * rng.uniform(0.86, 1.1)
            for side in (-1, 1):
                tone = ramp(pal, np.array([rng.uniform(0.42, 0.92)]))[0]
                angle = -math.pi / 2 + side * rng.uniform(0.75, 1.15)
                blade = (angle, length, length * rng.uniform(0.15, 0.21))
                _draw_leaf(draw, foot, blade, (solid(tone), solid(tone * 0.55 + pal[0] * 0.45)), unit)
        tip = (-math.pi / 2, unit * 0.12, unit * 0.026)
        _draw_leaf(draw, (x0 + sway, y0 - tall), tip, (solid(pal[2]), solid(pal[0])), unit)
    return image.reduce(k)


def _draw_leaf(
    draw: ImageDraw.ImageDraw,
    foot: tuple[float, float],
    blade: tuple[float, float, float],
    colours: tuple[Colour, Colour],
    unit: int,
) -> None:
    """One bent leaf with its vein; blade = angle, length, half width; colours = leaf, vein."""
    angle, length, width = blade
    t = np.linspace(0, 1, 22)
    half, bend = np.sin(t**0.8 * math.pi) * width, t**2 * length * 0.12
    ax, ay = math.cos(angle), math.sin(angle)
    mx, my = foot[0] + ax * t * length - ay * bend, foot[1] + ay * t * length + ax * bend
    left = np.stack([mx - ay * half, my + ax * half], -1)
    right = np.stack([mx + ay * half, my - ax * half], -1)
    draw.polygon(np.concatenate([left, right[::-1]]).ravel().tolist(), fill=colours[0])
    draw.line(np.stack([mx, my], -1).ravel().tolist(), fill=colours[1], width=max(1, int(unit * 0.0022)))


def contour(rng: np.random.Generator, w: int, h: int, palette: Palette) -> Image.Image:
    """Cut agate, or a map: bands of equal height with a shaded edge."""
    lw, lh = soft_size(w, h, 360_000)
    bands = int(rng.integers(11, 17))
    level = stretched(noise_field(rng, lw, lh, cells=2, octaves=3)) * bands
    down, across = np.gradient(level)
    # Levels per pixel: it turns the distance to a band's lower edge into pixels, which antialiases that edge.
    slope = np.maximum(np.abs(down) + np.abs(across), 1e-3)
    step = np.floor(level)
    depth = level - step
    blend = np.clip(depth / slope, 0, 1)
    pixels = ramp(palette.colours, (step - 1 + blend) / bands)
    pixels *= (1 - 0.2 * np.exp(-depth * 7) * blend)[..., None]
    pixels += (np.exp(-((1 - depth) * 16)) * 22 * np.clip((1 - depth) / slope, 0, 1))[..., None]
    return enlarged(pixels, w, h)


STYLES: dict[str, Style] = {
    style.__name__: style for style in (ridges, dunes, skyline, poster, flow, mesh, orbs, aurora, botanical, contour)
}
