"""The corpus of TRUST S1: every file with its verdict, decided in the decode process that a server uses."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gallery.decode_pool import DecodePool
from gallery.imaging import ImageFacts, ImageRejected, verify_image
from tests.gallery.hostile import corpus

# A reason of refusal, or what is accepted: format, width, height, mode, has_c2pa.
VERDICTS: dict[str, str | tuple[str, int, int, str, bool]] = {
    # PNG, accepted: every mode that Pillow decodes and renditions turn into RGB.
    "png": ("png", 24, 16, "RGB", False),
    "png 1x1": ("png", 1, 1, "RGB", False),
    "png 1-bit": ("png", 24, 16, "1", False),
    "png greyscale": ("png", 24, 16, "L", False),
    "png grey and alpha": ("png", 24, 16, "LA", False),
    "png palette": ("png", 24, 16, "P", False),
    "png palette with transparency": ("png", 24, 16, "P", False),
    "png alpha": ("png", 24, 16, "RGBA", False),
    "png 16-bit grey": ("png", 4, 4, "I;16", False),
    "png 16-bit colour": ("png", 4, 4, "RGB", False),
    "png 16-bit alpha": ("png", 4, 4, "RGBA", False),
    "png with C2PA": ("png", 2, 2, "RGB", True),
    # Text is never interpreted: originals are served as image/png with nosniff and a sandbox.
    "png with script in its text": ("png", 2, 2, "RGB", False),
    "png padded with NUL": ("png", 24, 16, "RGB", False),
    "png black to its last row": ("png", 24, 16, "RGB", False),
    "png interlaced, black": ("png", 9, 9, "L", False),
    # PNG, bombs.
    "png 12000x12000 of 1 bit": "too_large",
    "png 20000x20000 of 1 bit": "too_large",
    "png header of 2^31 pixels a side": "too_large",
    "png 1x65535": "too_large",
    "png 1x1 with 64 MiB of deflated pixels": "not_an_image",
    "png zTXt bomb": "too_large",
    "png iTXt bomb": "too_large",
    "png iCCP bomb": "too_large",
    "png text of 10 MB": "too_large",
    "png 300 texts of 64 KiB, deflated": "too_large",
    "png 70000 chunks": "too_large",
    "png animated": "too_large",
    # PNG, cut.
    "png first byte": "truncated",
    "png magic only": "truncated",
    "png cut in its header": "truncated",
    "png cut in its pixels": "truncated",
    "png without end": "truncated",
    "png cut in its end": "truncated",
    "png with a cut deflate stream": "truncated",
    "png with half of its pixels": "truncated",
    "png interlaced without its last pass": "truncated",
    # PNG, broken or more than a picture.
    "png without width": "not_an_image",
    "png without pixels": "not_an_image",
    "png wrong checksum": "not_an_image",
    "png broken deflate": "not_an_image",
    "png two headers": "not_an_image",
    "png unknown critical chunk": "not_an_image",
    "png script after the end": "not_an_image",
    "png second png after the end": "not_an_image",
    "png zip after the end": "not_an_image",
    "png zip in a chunk": "not_an_image",
    "png pdf in its text": "not_an_image",
    # JPEG.
    "jpeg": ("jpeg", 24, 16, "RGB", False),
    "jpeg progressive": ("jpeg", 24, 16, "RGB", False),
    "jpeg greyscale": ("jpeg", 24, 16, "L", False),
    "jpeg cmyk": ("jpeg", 24, 16, "CMYK", False),
    "jpeg with C2PA": ("jpeg", 24, 16, "RGB", True),
    "jpeg padded with NUL": ("jpeg", 24, 16, "RGB", False),
    # libjpeg paints what a closed scan lacks in grey and does not say so; it costs us no more than a true picture.
    "jpeg 6000x6000 of nothing": ("jpeg", 6000, 6000, "RGB", False),
    "jpeg 8000x8000 of nothing": "too_large",
    "jpeg 65535x65535": "too_large",
    "jpeg 40000x2": "too_large",
    "jpeg 1000 scans": "too_large",
    "jpeg comments of 2 MB": "too_large",
    "jpeg magic only": "truncated",
    "jpeg cut in its header": "truncated",
    "jpeg cut in its pixels": "truncated",
    "jpeg without end": "truncated",
    "jpeg without height": "not_an_image",
    "jpeg start and end": "not_an_image",
    "jpeg without scan": "not_an_image",
    "jpeg lossless frame": "not_an_image",
    "jpeg two frames": "not_an_image",
    "jpeg noise between segments": "not_an_image",
    "jpeg script after the end": "not_an_image",
    "jpeg zip after the end": "not_an_image",
    "jpeg zip in a comment": "not_an_image",
    "jpeg pdf in a comment": "not_an_image",
    "jpeg of two pictures": "not_an_image",
    # WebP.
    "webp": ("webp", 24, 16, "RGB", False),
    "webp lossless": ("webp", 24, 16, "RGB", False),
    "webp alpha": ("webp", 24, 16, "RGBA", False),
    "webp with C2PA": ("webp", 24, 16, "RGB", True),
    "webp lossless 6000x6000 of nothing": "too_large",
    "webp animated": "too_large",
    "webp that says it is animated": "too_large",
    "webp metadata of 2 MB": "too_large",
    "webp magic only": "truncated",
    "webp cut in its header": "truncated",
    "webp cut in its pixels": "truncated",
    "webp canvas of 16383x16383": "not_an_image",
    "webp canvas larger than its picture": "not_an_image",
    "webp two pictures": "not_an_image",
    "webp without picture": "not_an_image",
    "webp pixels shorter than told": "not_an_image",
    "webp chunk longer than the file": "not_an_image",
    "webp script after the end": "not_an_image",
    # What is no PNG, JPEG or WebP, whatever its name and declared type say.
    "nothing": "truncated",
    "gif": "not_an_image",
    "bmp": "not_an_image",
    "tiff": "not_an_image",
    "ico": "not_an_image",
    "eps": "not_an_image",
    "pdf": "not_an_image",
    "svg": "not_an_image",
    "html": "not_an_image",
    "heic": "not_an_image",
    "zip": "not_an_image",
    "noise": "not_an_image",
    "png behind a script": "not_an_image",
    "riff that is no webp": "not_an_image",
}


@dataclass(frozen=True)
class Run:
    """The whole corpus through one decode process."""

    verdicts: dict[str, str | tuple[str, int, int, str, bool]]
    first_pid: int
    last_pid: int
    peak_kibibytes: int


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    path = tmp_path_factory.mktemp("hostile") / "picture.png"
    with closing(DecodePool("hostile", processes=1)) as pool:
        first_pid = pool.run(os.getpid)
        verdicts = {name: judge(pool, path, data) for name, data in corpus().items()}
        # Not getrusage: a child begins with the peak of the process that started it, which is the whole suite.
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{first_pid}/status").read_text())
        yield Run(verdicts, first_pid, pool.run(os.getpid), int(peak[1]))


def judge(pool: DecodePool, path: Path, data: bytes) -> str | tuple[str, int, int, str, bool]:
    path.write_bytes(data)
    try:
        facts: ImageFacts = pool.run(verify_image, path)
    except ImageRejected as rejection:
        return rejection.reason
    assert path.read_bytes() == data  # looked at, not touched
    assert facts.byte_size == len(data)
    return facts.format, facts.width, facts.height, facts.mode, facts.has_c2pa


@pytest.mark.parametrize("name", VERDICTS)
def test_each_file_gets_its_verdict(run: Run, name: str):
    assert run.verdicts[name] == VERDICTS[name]


def test_every_file_has_a_verdict_in_the_table(run: Run):
    assert run.verdicts.keys() == VERDICTS.keys()


def test_no_file_ends_the_decode_process(run: Run):
    assert run.last_pid == run.first_pid


def test_the_decode_process_never_needs_half_a_gibibyte(run: Run):
    assert run.peak_kibibytes < 512 * 1024
