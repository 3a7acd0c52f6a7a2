"""Pictures as bytes and pixels: verify what arrives, make the small copies. Pure: no Django, no database.

Everything here may meet hostile bytes. All but `decode_base64_to_file` decodes, so servers call it through
`gallery.decode_pool`.
"""

import hashlib
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import pybase64
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from gallery.containers import (
    JPEG_MAGIC,
    PNG_MAGIC,
    Container,
    Format,
    ImageRejected,
    Reason,
    holds_all_png_pixels,
    read_container,
    sniff_format,
)
from gallery.perceptual import hash_of
from gallery.thumbhash import LONG_SIDE as THUMBHASH_SIDE
from gallery.thumbhash import encode_thumbhash

RECIPE_VERSION = 1  # raised with every change to the bytes of renditions, so that old ones are known and made anew

MIME_TYPES: dict[Format, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

MEBIBYTE = 1024 * 1024
# Pillow decodes WebP by way of two animation canvases, 17 bytes a pixel instead of 4; this keeps a child below 512 MiB.
WEBP_MAX_PIXELS = 25_000_000

BASE64_PIECE = MEBIBYTE  # characters; a multiple of four

# HAMMING: as good as BICUBIC when shrinking and 40 % cheaper. WebP method 2: files 15-40 % smaller than method 0 for
# 4 ms more, where method 4 takes 20 ms more for another 5 %. PNG level 3: 10 % larger than level 6 in half the time.
SHRINK_FILTER = Image.Resampling.HAMMING
SHRINK_REDUCING_GAP = 1.5
SAVE_OPTIONS: dict[Format, dict[str, int]] = {
    "webp": {"quality": 80, "method": 2},
    "jpeg": {"quality": 92},
    "png": {"compress_level": 3},
}
FULL_SIZE_WEBP_QUALITY = 90

XMP_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    b' Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


@dataclass(frozen=True)
class ImageLimits:
    """Caps of one intake: bytes on disk, pixels, the longer side, and metadata as it is after unpacking."""

    max_bytes: int = 32 * MEBIBYTE
    max_pixels: int = 40_000_000
    max_side: int = 16_383  # WebP's limit, so every picture has its renditions
    max_metadata_bytes: int = MEBIBYTE


OUTPUT_LIMITS = ImageLimits()
UPLOAD_LIMITS = ImageLimits(max_pixels=24_000_000)


@dataclass(frozen=True)
class ImageFacts:
    """What a verified file is. `mode` is Pillow's name of the pixel format; `dominant_colour` is "#rrggbb".

    `perceptual_hash` (perceptual.py) is None in facts that were written down before there was one.
    """

    format: Format
    mime_type: str
    width: int
    height: int
    byte_size: int
    sha256: str
    has_c2pa: bool
    dominant_colour: str
    mode: str
    perceptual_hash: str | None = None


@dataclass(frozen=True)
class RenditionTarget:
    """A copy to make. `long_side` None keeps the size of the source."""

    path: str
    long_side: int | None
    format: Format = "webp"


@dataclass(frozen=True)
class RenditionFacts:
    """A copy that was made and written."""

    width: int
    height: int
    byte_size: int
    mime_type: str
    sha256: str


# Intake


def decode_base64_to_file(encoded: bytes | memoryview | str, path: str | os.PathLike[str], *, max_bytes: int) -> int:
    """Decode strictly into `path` (fsynced; the caller renames it) and return the byte count.

    Either alphabet, with or without padding, no white space. ImageRejected "truncated" for what is cut or no base64,
    "too_large" before anything is decoded. A refused payload leaves no file.
    """
    payload = memoryview(_ascii(encoded) if isinstance(encoded, str) else encoded).cast("B")
    if len(payload) // 4 * 3 - 2 > max_bytes:
        raise ImageRejected("too_large", "The picture has too many bytes.")
    path = Path(path)
    try:
        with path.open("wb") as file:
            byte_size = sum(file.write(piece) for piece in _decoded_pieces(payload))
            if byte_size > max_bytes:
                raise ImageRejected("too_large", "The picture has too many bytes.")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return byte_size


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise _not_base64() from None


def _not_base64() -> ImageRejected:
    return ImageRejected("truncated", "The picture's base64 is cut or broken.")


def _decoded_pieces(payload: memoryview) -> Iterator[bytes]:
    """In pieces, so that a 4K picture never stands in memory twice."""
    for start in range(0, len(payload), BASE64_PIECE):
        piece = payload[start : start + BASE64_PIECE]
        is_last = start + BASE64_PIECE >= len(payload)
        if is_last and len(piece) % 4:
            piece = memoryview(bytes(piece) + b"=" * (-len(piece) % 4))
        decoded = _decoded_piece(piece)
        if not is_last and len(decoded) != BASE64_PIECE // 4 * 3:  # padding before the end
            raise _not_base64()
        yield decoded


def _decoded_piece(piece: memoryview) -> bytes:
    try:
        return pybase64.b64decode(piece, validate=True)
    except ValueError:
        pass
    try:
        return pybase64.b64decode(piece, altchars=b"-_", validate=True)
    except ValueError:
        raise _not_base64() from None


def verify_image(path: str | os.PathLike[str], *, limits: ImageLimits = OUTPUT_LIMITS) -> ImageFacts:
    """Prove that a file is exactly one complete picture within the limits, by decoding all of it.

    1. size on disk, before a byte is read; 2. magic bytes; 3. every chunk of the container, pixel and side caps;
    4. full decode by the one decoder that the magic names. Raises ImageRejected, or OSError when the disk fails.
    """
    data = _read(path, limits)
    image_format, container = _inspect(data, limits)
    with _decoding(), _opened(data, image_format) as image:
        if image.size != (container.width, container.height) or getattr(image, "n_frames", 1) != 1:
            raise ImageRejected("not_an_image", "The picture's size is not the size that its header tells.")
        image.load()
        if image_format == "png" and _ends_in_zeros(image) and not holds_all_png_pixels(data):
            raise ImageRejected("truncated", "The picture lacks its last rows.")
        small = _small(image)
        dominant_colour = _dominant_colour(small)
        perceptual_hash = hash_of(small)
        mode = image.mode
    return ImageFacts(
        format=image_format,
        mime_type=MIME_TYPES[image_format],
        width=container.width,
        height=container.height,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        has_c2pa=container.has_c2pa,
        dominant_colour=dominant_colour,
        mode=mode,
        perceptual_hash=perceptual_hash,
    )


def hash_picture(path: str | os.PathLike[str]) -> str:
    """The perceptual hash of a picture that was kept before there was one. Raises ImageRejected or OSError."""
    data = _read(path, OUTPUT_LIMITS)
    image_format, _ = _inspect(data, OUTPUT_LIMITS)
    with _decoding(), _opened(data, image_format) as image:
        image.load()
        return hash_of(_small(image))


def _read(path: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    with open(path, "rb") as file:
        # One byte more than allowed tells a file that grows while it is read.
        if os.fstat(file.fileno()).st_size <= limits.max_bytes:
            data = file.read(limits.max_bytes + 1)
            if len(data) <= limits.max_bytes:
                return data
    raise ImageRejected("too_large", "The picture has too many bytes.")


def _inspect(data: bytes, limits: ImageLimits) -> tuple[Format, Container]:
    image_format = sniff_format(data[:32])
    if image_format is None:
        if len(data) < 12 and any(magic.startswith(data[: len(magic)]) for magic in (PNG_MAGIC, JPEG_MAGIC, b"RIFF")):
            raise ImageRejected("truncated", "The picture ends too early.")
        raise ImageRejected("not_an_image", "The bytes are no PNG, JPEG or WebP picture.")
    container = read_container(data, image_format, max_metadata_bytes=limits.max_metadata_bytes)
    if min(container.width, container.height) < 1:
        raise ImageRejected("not_an_image", "The picture has no pixels.")
    if max(container.width, container.height) > limits.max_side:
        raise ImageRejected("too_large", "The picture's longer side is too long.")
    max_pixels = min(limits.max_pixels, WEBP_MAX_PIXELS) if image_format == "webp" else limits.max_pixels
    if container.width * container.height > max_pixels:
        raise ImageRejected("too_large", "The picture has too many pixels.")
    return image_format, container


def _opened(data: bytes, image_format: Format) -> ImageFile.ImageFile:
    return Image.open(BytesIO(data), formats=[image_format.upper()])


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever a decoder does with hostile bytes into ImageRejected; wrap no disk access in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a broken file makes Pillow say is of no use in our logs
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except ImageRejected:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRejected("too_large", "The picture needs too much memory.") from error
    except Exception as error:  # decoders raise nearly every built-in exception
        reason: Reason = "truncated" if "truncated" in str(error).lower() else "not_an_image"
        raise ImageRejected(reason, "The picture cannot be decoded.") from error


def _ends_in_zeros(image: Image.Image) -> bool:
    """Pillow is silent about rows that a deflate stream did not reach: they stay zero. Two rows: interlacing."""
    last_rows = image.crop((0, max(0, image.height - 2), image.width, image.height))
    return not last_rows.tobytes().strip(b"\0")


def _small(image: Image.Image) -> Image.Image:
    return _on_white(_to_rgb(_shrunk(_plain(image), _fitted(image.size, 64))))


def _dominant_colour(small: Image.Image) -> str:
    """The mean of the most frequent group of similar colours: what stands in while the picture loads."""
    groups = small.quantize(colors=8, method=Image.Quantize.FASTOCTREE)
    counts = cast("list[tuple[int, int]]", groups.getcolors())
    palette = cast("list[int]", groups.getpalette())
    _, index = max(counts)
    return "#{:02x}{:02x}{:02x}".format(*palette[index * 3 : index * 3 + 3])


# Renditions


def make_renditions(source_path: str | os.PathLike[str], targets: Sequence[RenditionTarget]) -> list[RenditionFacts]:
    """Make copies from one decode, each from the next larger, and write each atomically; answers in the given order.

    Upright (EXIF orientation applied), in sRGB, never larger than the source, with no metadata of the source and our
    XMP mark of AI origin. Greyscale, palette, CMYK and 16-bit become 8-bit RGB; transparency stays but for JPEG, which
    gets a white ground. The files are flushed; the directory is the caller's, who knows where they stay. Raises
    ImageRejected, also when a copy needs more memory than there is (full size, transparent, above 25 Mpx), or OSError.
    """
    data = _read(source_path, OUTPUT_LIMITS)
    image_format, container = _inspect(data, OUTPUT_LIMITS)
    source_size = container.width, container.height
    sizes = [_fitted(source_size, target.long_side) for target in targets]
    order = sorted(range(len(targets)), key=lambda index: -max(sizes[index]))
    made: dict[int, RenditionFacts] = {}
    with _decoding(), _opened(data, image_format) as image:
        image.draft(None, sizes[order[0]])  # JPEG decodes at 1/2, 1/4 or 1/8; the other formats ignore it
        image.load()
        current = _standardised(image, sizes[order[0]])
    if current.size != sizes[order[0]]:  # turned upright
        sizes = [(height, width) for width, height in sizes]
    for index in order:
        target = targets[index]
        current = _shrunk(current, sizes[index])
        encoded = _encoded(current, target)
        _write_atomically(Path(target.path), encoded)
        made[index] = RenditionFacts(
            width=current.width,
            height=current.height,
            byte_size=len(encoded),
            mime_type=MIME_TYPES[target.format],
            sha256=hashlib.sha256(encoded).hexdigest(),
        )
    return [made[index] for index in range(len(targets))]


def make_thumbhash(source_path: str | os.PathLike[str]) -> str:
    """The ThumbHash of a picture, upright and in sRGB, as base64. Raises ImageRejected, or OSError."""
    data = _read(source_path, OUTPUT_LIMITS)
    image_format, _ = _inspect(data, OUTPUT_LIMITS)
    with _decoding(), _opened(data, image_format) as image:
        image.load()
        small = _standardised(image, _fitted(image.size, THUMBHASH_SIDE))
        return pybase64.b64encode(encode_thumbhash(small)).decode()


def make_upload_copy(
    source_path: str | os.PathLike[str], target_path: str | os.PathLike[str], *, limits: ImageLimits = UPLOAD_LIMITS
) -> ImageFacts:
    """Verify what somebody has sent and write its pixels anew in the same format: upright, sRGB, without any metadata.

    Whoever sends a photograph sends the place where it was taken too, which is nobody's business. Written atomically
    and flushed; raises ImageRejected, or OSError when the disk fails.
    """
    verify_image(source_path, limits=limits)
    data = _read(source_path, limits)
    image_format, _ = _inspect(data, limits)
    with _decoding(), _opened(data, image_format) as image:
        image.load()
        picture = _standardised(image, image.size)
        output = BytesIO()
        options = SAVE_OPTIONS[image_format] | ({"quality": FULL_SIZE_WEBP_QUALITY} if image_format == "webp" else {})
        (_on_white(picture) if image_format == "jpeg" else picture).save(output, image_format.upper(), **options)
    _write_atomically(Path(target_path), output.getvalue())
    return verify_image(target_path, limits=limits)


def _fitted(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    width, height = size
    if long_side is None or max(size) <= long_side:
        return size
    scale = long_side / max(size)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _standardised(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A copy in upright sRGB without metadata. It is shrunk first: the rest then costs a fraction."""
    profile = image.info.get("icc_profile")
    copy = _shrunk(_plain(image), size)
    copy = _upright(copy)
    copy = _to_srgb(copy, profile) if profile else _to_rgb(copy)
    copy.info = {}  # savers write profile and text from here
    return copy


def _plain(image: Image.Image) -> Image.Image:
    """Modes that can be resampled: L, RGB, RGBA, CMYK."""
    if image.mode.startswith("I"):  # 16-bit grey: convert() would clip it to white
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    return image


def _shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size == size:
        return image
    factor = image.width // size[0]
    if (-(-image.width // factor), -(-image.height // factor)) == size:
        return image.reduce(factor)  # a whole divisor: thirty times cheaper than resampling
    return image.resize(size, SHRINK_FILTER, reducing_gap=SHRINK_REDUCING_GAP)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # broken EXIF makes no difference to the pixels
        return image


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        converted = ImageCms.profileToProfile(image, BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken or unfitting profile is as good as none
        return _to_rgb(image)
    return cast("Image.Image", converted)


def _to_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _encoded(image: Image.Image, target: RenditionTarget) -> bytes:
    options: dict[str, object] = {**SAVE_OPTIONS[target.format]}
    if target.format == "png":
        options["pnginfo"] = _png_mark()
    else:
        options["xmp"] = XMP_PACKET
    if target.format == "webp" and target.long_side is None:
        options["quality"] = FULL_SIZE_WEBP_QUALITY
    output = BytesIO()
    picture = _on_white(image) if target.format == "jpeg" else image
    try:
        picture.save(output, format=target.format.upper(), **options)
    except (ValueError, OSError, MemoryError) as error:  # libwebp tells a lack of memory as "encoding error 1"
        raise ImageRejected("too_large", "The picture needs too much memory.") from error
    return output.getvalue()


def _png_mark() -> PngInfo:
    mark = PngInfo()
    mark.add_itxt("XML:com.adobe.xmp", XMP_PACKET.decode())
    return mark


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
