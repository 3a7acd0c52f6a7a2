"""Small real pictures for the gallery's tests."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

from django.db import transaction
from PIL import Image as Picture
from PIL import ImageDraw, ImageEnhance

from accounts.models import Plan, User
from gallery import services
from gallery.imaging import ImageFacts, verify_image
from gallery.models import Image
from gallery.video import VideoFacts, verify_video

C2PA_CHUNK = b"jumb-like provenance \x00\x01\x02\xff"


def encode_picture(format: str = "png", *, size: tuple[int, int] = (48, 32), colour: str = "#336699") -> bytes:
    """A disc on a ground of one colour."""
    picture = Picture.new("RGB", size, colour)
    ImageDraw.Draw(picture).ellipse((4, 4, size[0] // 2, size[1] - 4), fill="#ffcc00")
    output = BytesIO()
    picture.save(output, format=format)
    return output.getvalue()


def drawn(
    seed: int, *, size: tuple[int, int] = (192, 128), quality: int | None = None, brightness: float = 1.0
) -> bytes:
    """A picture of a few shapes by a number; the same number in another size, quality or light is a near duplicate."""
    canvas = Picture.new("RGB", (768, 512), (40 * seed % 255, 90, 200 - 37 * seed % 200))
    draw = ImageDraw.Draw(canvas)
    for step in range(9):
        number = (seed * 7919 + step * 104729) % 1000003
        x, y, reach = number % 700, number // 7 % 450, 40 + number % 160
        draw.ellipse((x, y, x + reach, y + reach), fill=(number % 256, number // 3 % 256, number // 11 % 256))
    picture = ImageEnhance.Brightness(canvas.resize(size)).enhance(brightness)
    output = BytesIO()
    picture.save(output, **({"format": "JPEG", "quality": quality} if quality else {"format": "PNG"}))
    return output.getvalue()


def with_c2pa(png: bytes) -> bytes:
    """The same PNG with a caBX chunk after its header, where C2PA puts its manifest."""
    after_header = 8 + 25
    body = b"caBX" + C2PA_CHUNK
    chunk = struct.pack(">I", len(C2PA_CHUNK)) + body + struct.pack(">I", zlib.crc32(body))
    return png[:after_header] + chunk + png[after_header:]


def write_file(directory: Path, data: bytes, *, name: str = "picture") -> tuple[Path, ImageFacts]:
    """A spooled picture and its facts, as the pipeline hands them over."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(data)
    return path, verify_image(path)


def make_user(email: str) -> User:
    plan, _ = Plan.objects.get_or_create(name="free")
    return User.objects.create_user(email, plan=plan)


def add_image(owner: User, facts: ImageFacts | VideoFacts, **fields: object) -> Image:
    """A picture of `owner` whose bytes need not be on disk."""
    wanted: dict[str, object] = {
        "prompt": "A solid blue circle on white background.",
        "model": "gemini-3.1-flash-image-preview",
        "caption": "",
        "aspect_ratio": "1:1",
        "image_size": "1K",
        "honours_aspect_ratio": True,
        "honours_image_size": True,
        "source_reference": "4b1d2c3e-0000-4000-8000-000000000001",
    }
    with transaction.atomic():
        return services.add_image(owner=owner, facts=facts, **{**wanted, **fields})


def keep_image(owner: User, directory: Path, data: bytes, **fields: object) -> Image:
    """A picture of `owner` with its bytes in the storage."""
    path, facts = write_file(directory, data)
    services.keep_picture(path=path, facts=facts)
    return add_image(owner, facts, **fields)


def keep_clip(owner: User, directory: Path, data: bytes, **fields: object) -> Image:
    """A clip of `owner` with its bytes and those of its poster in the storage."""
    directory.mkdir(parents=True, exist_ok=True)
    path, poster_path = directory / "clip", directory / "poster"
    path.write_bytes(data)
    facts = verify_video(path, poster_path=poster_path)
    poster = verify_image(poster_path)
    services.keep_clip(path=path, facts=facts, poster_path=poster_path, poster=poster)
    told: dict[str, object] = {"prompt": "a red <ball>", "image_size": "720p", "honours_image_size": False}
    return add_image(owner, facts, poster=poster, kind="video", source_reference="", **{**told, **fields})
