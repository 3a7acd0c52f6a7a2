"""Verification, strict base64 and renditions, called directly; the hostile corpus has its own file."""

import base64
import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFile

from gallery.imaging import (
    OUTPUT_LIMITS,
    UPLOAD_LIMITS,
    XMP_PACKET,
    ImageFacts,
    ImageLimits,
    ImageRejected,
    RenditionFacts,
    RenditionTarget,
    decode_base64_to_file,
    make_renditions,
    sniff_format,
    verify_image,
)
from tests.gallery.hostile import (
    jpeg_with_location,
    picture,
    png_files,
    png_with_text,
    saved,
    sixteen_bit_png,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def render(source: Path, *wishes: tuple[int | None, str]) -> list[tuple[RenditionFacts, Image.Image]]:
    """Make renditions beside the source, and open each."""
    paths = [source.with_name(f"{long_side}.{image_format}") for long_side, image_format in wishes]
    targets = [
        RenditionTarget(path=str(path), long_side=long_side, format=image_format)
        for path, (long_side, image_format) in zip(paths, wishes, strict=True)
    ]
    return [(facts, Image.open(path)) for facts, path in zip(make_renditions(source, targets), paths, strict=True)]


def left_and_right(first: str, second: str, size: tuple[int, int] = (64, 32)) -> Image.Image:
    image = Image.new("RGB", size, second)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill=first)
    return image


def assert_near(image: Image.Image, point: tuple[int, int], colour: tuple[int, ...]):
    """Lossy formats move a colour a little."""
    found = image.convert("RGB").getpixel(point)
    assert all(abs(a - b) <= 12 for a, b in zip(found, colour, strict=True)), (found, colour)


# Verification


def test_the_facts_of_a_picture_are_exact(source: Path):
    data = saved(Image.new("RGB", (40, 30), "#336699"), "PNG")
    source.write_bytes(data)
    assert verify_image(source, limits=OUTPUT_LIMITS) == ImageFacts(
        format="png",
        mime_type="image/png",
        width=40,
        height=30,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        has_c2pa=False,
        dominant_colour="#336699",
        mode="RGB",
        perceptual_hash="",
    )


def test_the_dominant_colour_is_that_of_the_larger_part_and_not_the_mean(source: Path):
    image = Image.new("RGB", (90, 90), "#ff0000")
    ImageDraw.Draw(image).rectangle((0, 0, 89, 29), fill="#0000ff")
    source.write_bytes(saved(image, "PNG"))
    assert verify_image(source).dominant_colour == "#ff0000"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ImageLimits(max_pixels=24 * 16), None),
        (ImageLimits(max_pixels=24 * 16 - 1), "too_large"),
        (ImageLimits(max_side=24), None),
        (ImageLimits(max_side=23), "too_large"),
    ],
)
def test_a_limit_is_the_last_size_that_passes(source: Path, limits: ImageLimits, reason: str | None):
    source.write_bytes(saved(picture(), "PNG"))
    if reason is None:
        assert verify_image(source, limits=limits).width == 24
        return
    with pytest.raises(ImageRejected) as refusal:
        verify_image(source, limits=limits)
    assert refusal.value.reason == reason


def test_the_size_on_disk_is_checked_before_a_byte_is_read(source: Path):
    with source.open("wb") as file:
        file.truncate(OUTPUT_LIMITS.max_bytes + 1)
    with pytest.raises(ImageRejected) as refusal:
        verify_image(source)
    assert (refusal.value.reason, refusal.value.detail) == ("too_large", "The picture has too many bytes.")


def test_uploads_have_fewer_pixels_than_outputs(source: Path):
    source.write_bytes(saved(Image.new("1", (6000, 4001)), "PNG"))
    assert verify_image(source, limits=OUTPUT_LIMITS).height == 4001
    with pytest.raises(ImageRejected, match="too many pixels"):
        verify_image(source, limits=UPLOAD_LIMITS)


def test_metadata_counts_as_it_is_after_unpacking_and_c2pa_does_not_count(source: Path):
    limits = ImageLimits(max_metadata_bytes=1000)
    source.write_bytes(png_files()["png with C2PA"])
    assert verify_image(source, limits=limits).has_c2pa
    source.write_bytes(png_files()["png 300 texts of 64 KiB, deflated"])
    with pytest.raises(ImageRejected, match="too much metadata"):
        verify_image(source, limits=limits)


def test_a_missing_file_is_the_disks_error_and_no_verdict(source: Path):
    with pytest.raises(FileNotFoundError):
        verify_image(source)


def test_cut_pictures_are_never_tolerated_by_pillow():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_every_cut_of_a_picture_is_refused(source: Path, name: str):
    data = saved(picture(), name)
    for length in range(len(data)):
        source.write_bytes(data[:length])
        with pytest.raises(ImageRejected) as refusal:
            verify_image(source)
        assert refusal.value.reason == "truncated"


def test_the_format_comes_from_the_bytes():
    assert sniff_format(saved(picture(), "PNG")[:32]) == "png"
    assert sniff_format(saved(picture(), "JPEG")[:32]) == "jpeg"
    assert sniff_format(saved(picture(), "WEBP")[:32]) == "webp"
    assert sniff_format(saved(picture("P"), "GIF")[:32]) is None
    assert sniff_format(b"") is None


# Base64

BYTES = bytes(range(256)) * 5 + b"\xff"  # both alphabets' special characters, and padding


@pytest.mark.parametrize(
    "encoded",
    [
        base64.b64encode(BYTES),
        base64.b64encode(BYTES).decode(),
        memoryview(base64.b64encode(BYTES)),
        base64.urlsafe_b64encode(BYTES),
        base64.b64encode(BYTES).rstrip(b"="),
        base64.b64encode(BYTES).removesuffix(b"="),
        base64.urlsafe_b64encode(BYTES).rstrip(b"="),
    ],
    ids=["standard", "text", "memoryview", "urlsafe", "unpadded", "half padded", "urlsafe unpadded"],
)
def test_either_alphabet_with_or_without_padding_is_decoded(source: Path, encoded: bytes | memoryview | str):
    assert decode_base64_to_file(encoded, source, max_bytes=10_000) == len(BYTES)
    assert source.read_bytes() == BYTES


@pytest.mark.parametrize(
    "encoded",
    [
        base64.b64encode(BYTES)[:1001],
        base64.b64encode(BYTES)[:76] + b"\n" + base64.b64encode(BYTES)[76:],
        base64.b64encode(BYTES) + b"\n",
        b"data:image/png;base64," + base64.b64encode(BYTES),
        b"QQ==QQ==",
        b"Q",
        b"====",
        b"QUJD\0QUJD",
        "QUJDé",
    ],
    ids=["cut", "line break", "final line break", "data URL", "padded inside", "one", "padding", "NUL", "not ASCII"],
)
def test_what_is_no_strict_base64_leaves_no_file(source: Path, encoded: bytes | str):
    with pytest.raises(ImageRejected) as refusal:
        decode_base64_to_file(encoded, source, max_bytes=10_000)
    assert refusal.value.reason == "truncated"
    assert not source.exists()


def test_a_large_payload_is_decoded_in_pieces(source: Path):
    data = bytes(range(251)) * 10_000
    assert decode_base64_to_file(base64.b64encode(data), source, max_bytes=len(data)) == len(data)
    assert source.read_bytes() == data


def test_padding_at_the_end_of_a_piece_is_refused(source: Path):
    encoded = b"A" * (1024 * 1024 - 2) + b"==" + b"QUJD"
    with pytest.raises(ImageRejected) as refusal:
        decode_base64_to_file(encoded, source, max_bytes=10_000_000)
    assert refusal.value.reason == "truncated"
    assert not source.exists()


@pytest.mark.parametrize("size", [2998, 2999, 3000])
def test_the_byte_cap_is_exact(source: Path, size: int):
    encoded = base64.b64encode(bytes(size))
    assert decode_base64_to_file(encoded, source, max_bytes=size) == size
    source.unlink()
    with pytest.raises(ImageRejected) as refusal:
        decode_base64_to_file(encoded, source, max_bytes=size - 1)
    assert refusal.value.reason == "too_large"
    assert not source.exists()


def test_the_length_is_checked_before_anything_is_decoded(source: Path):
    with pytest.raises(ImageRejected) as refusal:
        decode_base64_to_file(b"!" * 10_000, source, max_bytes=1000)
    assert refusal.value.reason == "too_large"


# Renditions


def test_renditions_come_in_the_order_of_the_targets_with_exact_facts(source: Path):
    source.write_bytes(saved(picture(size=(1376, 768)), "PNG"))
    (small, small_image), (large, large_image) = render(source, (320, "webp"), (640, "webp"))
    assert small_image.size == (small.width, small.height) == (320, 179)
    assert large_image.size == (large.width, large.height) == (640, 357)
    stored = source.with_name("320.webp").read_bytes()
    assert small.byte_size == len(stored)
    assert small.sha256 == hashlib.sha256(stored).hexdigest()
    assert small.mime_type == "image/webp"


def test_a_rendition_is_never_larger_than_its_source(source: Path):
    source.write_bytes(saved(picture(size=(48, 96)), "PNG"))
    ((facts, _),) = render(source, (1280, "webp"))
    assert (facts.width, facts.height) == (48, 96)


def test_a_line_keeps_its_one_pixel(source: Path):
    source.write_bytes(saved(picture(size=(4000, 1)), "PNG"))
    (_, first), (_, second) = render(source, (640, "webp"), (320, "webp"))
    assert (first.size, second.size) == ((640, 1), (320, 1))


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_the_original_is_converted_at_full_size(source: Path, image_format: str):
    source.write_bytes(saved(left_and_right("#c03020", "#2040c0"), "PNG"))
    ((facts, image),) = render(source, (None, image_format))
    assert (facts.width, facts.height) == image.size == (64, 32)
    assert facts.mime_type == f"image/{image_format}"
    assert image.format == image_format.upper()
    assert_near(image, (8, 16), (0xC0, 0x30, 0x20))
    assert_near(image, (56, 16), (0x20, 0x40, 0xC0))


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_metadata_of_the_source_is_gone_and_the_mark_of_ai_origin_is_there(source: Path, image_format: str):
    for data in (jpeg_with_location(), png_with_text()):
        source.write_bytes(data)
        assert b"private" in data
        ((_, image),) = render(source, (32, image_format))
        stored = source.with_name(f"32.{image_format}").read_bytes()
        assert b"private" not in stored
        assert b"Exif\0\0" not in stored
        assert dict(image.getexif()) == {}
        assert stored.count(XMP_PACKET) == 1
        assert image.info["xmp"] == XMP_PACKET


def test_the_mark_of_ai_origin_is_well_formed_xmp():
    description = ElementTree.fromstring(XMP_PACKET).find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_a_turned_picture_stands_upright(source: Path, image_format: str):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    source.write_bytes(saved(left_and_right("#ff0000", "#0000ff"), image_format, exif=exif, quality=95))
    (_, full), (facts, small) = render(source, (None, "png"), (32, "png"))
    assert full.size == (32, 64)
    assert (facts.width, facts.height) == (16, 32)
    assert_near(small, (8, 4), (255, 0, 0))
    assert_near(small, (8, 28), (0, 0, 255))


def test_broken_exif_costs_nothing_but_the_orientation(source: Path):
    source.write_bytes(saved(left_and_right("#ff0000", "#0000ff"), "WEBP", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff"))
    ((facts, _),) = render(source, (32, "webp"))
    assert (facts.width, facts.height) == (32, 16)


def swapped_profile() -> bytes:
    """A profile in which red means green and green means red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"xXYZ").replace(b"gXYZ", b"rXYZ").replace(b"xXYZ", b"gXYZ")


def test_a_colour_profile_is_applied_and_not_kept(source: Path):
    source.write_bytes(saved(Image.new("RGB", (32, 32), "#ff0000"), "PNG", icc_profile=swapped_profile()))
    ((_, image),) = render(source, (16, "png"))
    assert_near(image, (8, 8), (0, 255, 0))
    assert "icc_profile" not in image.info


def test_a_broken_profile_is_as_good_as_none(source: Path):
    source.write_bytes(saved(Image.new("RGB", (32, 32), "#ff0000"), "PNG", icc_profile=b"no profile"))
    ((_, image),) = render(source, (16, "png"))
    assert_near(image, (8, 8), (255, 0, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1"])
def test_every_mode_becomes_the_same_picture(source: Path, mode: str):
    image = left_and_right("#000000", "#ffffff").convert(mode)
    source.write_bytes(saved(image, "JPEG" if mode == "CMYK" else "PNG"))
    for _, rendition in render(source, (32, "webp"), (32, "jpeg"), (32, "png")):
        assert rendition.mode in ("RGB", "RGBA")
        assert_near(rendition, (4, 8), (0, 0, 0))
        assert_near(rendition, (28, 8), (255, 255, 255))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3)])
def test_sixteen_bits_become_the_upper_eight(source: Path, colour_type: int, channels: int):
    source.write_bytes(sixteen_bit_png(colour_type, channels))
    ((_, image),) = render(source, (None, "png"))
    assert image.getpixel((1, 1)) == (0x80, 0x80, 0x80)


def test_transparency_stays_and_jpeg_gets_a_white_ground(source: Path):
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((16, 0, 31, 31), fill=(255, 0, 0, 255))
    source.write_bytes(saved(image, "PNG"))
    (_, webp), (_, jpeg) = render(source, (16, "webp"), (16, "jpeg"))
    assert webp.mode == "RGBA"
    assert (webp.getpixel((2, 8))[3], webp.getpixel((13, 8))[3]) == (0, 255)
    assert_near(jpeg, (2, 8), (255, 255, 255))
    assert_near(jpeg, (13, 8), (255, 0, 0))


def test_a_transparent_colour_of_a_palette_stays_transparent(source: Path):
    image = left_and_right("#ff0000", "#0000ff").convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    red = image.getpixel((4, 4))
    source.write_bytes(saved(image, "PNG", transparency=red))
    ((_, rendition),) = render(source, (32, "png"))
    assert rendition.getpixel((4, 8))[3] == 0
    assert rendition.getpixel((28, 8)) == (0, 0, 255, 255)


def test_a_hostile_source_makes_no_rendition(source: Path):
    source.write_bytes(png_files()["png cut in its pixels"])
    with pytest.raises(ImageRejected):
        render(source, (320, "webp"))
    assert [path.name for path in source.parent.iterdir()] == ["source"]


def test_a_rendition_replaces_its_file_in_one_step_and_a_failure_leaves_the_old_one(source: Path, monkeypatch):
    source.write_bytes(saved(picture(), "PNG"))
    render(source, (16, "webp"))
    before = source.with_name("16.webp").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source.write_bytes(saved(picture("L"), "PNG"))
    monkeypatch.setattr("gallery.imaging.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        render(source, (16, "webp"))
    assert source.with_name("16.webp").read_bytes() == before
    assert sorted(path.name for path in source.parent.iterdir()) == ["16.webp", "source"]
