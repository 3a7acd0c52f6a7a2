"""The copies of clips that others get (remuxing.py): found, or made in the decode processes when one is asked for."""

from pathlib import Path
from typing import cast

from gallery import renditions, storage
from gallery.clip_containers import ClipFormat
from gallery.decode_pool import renderer
from gallery.imaging import ImageRejected
from gallery.models import Blob, Rendition
from gallery.remuxing import make_public_clip
from gallery.renditions import ORIGINAL, Wish
from gallery.video import MIME_TYPES, VideoFacts, verify_video

FORMATS = tuple(MIME_TYPES)


def format_of(blob: Blob) -> ClipFormat:
    return cast("ClipFormat", storage.EXTENSIONS[blob.mime_type])


def get_clip_copy(blob: Blob) -> Rendition:
    """The copy of a clip, of which nobody but its owner gets the original; made now if need be.

    Raises RenditionUnavailable or PictureUnavailable.
    """
    return renditions.find_or_make(blob, Wish(ORIGINAL, format_of(blob)), lambda: _make(blob))


def rebuild(blob: Blob) -> int:
    """Make the copy of a clip that has one of an older recipe, or whose file is lost; how many were made.

    Raises as `get_clip_copy`.
    """
    before = blob.renditions.filter(format__in=FORMATS).first()
    return int(before is not None and get_clip_copy(blob).created_at != before.created_at)


def _make(blob: Blob) -> Rendition:
    with storage.staged(f".{format_of(blob)}") as path:
        with renditions.blaming(blob), storage.local_copy(blob.storage_name) as source:
            renderer.run(make_public_clip, str(source), str(path))
            before, after = _verified(source), _verified(path)
            if _shown(before) != _shown(after):
                raise ImageRejected("not_an_image", "The copy of the clip is not the same clip.")
        row = Rendition(
            blob=blob,
            variant=ORIGINAL,
            format=after.format,
            recipe=renditions.RECIPE_VERSION,
            sha256=after.sha256,
            byte_size=after.byte_size,
            width=after.width,
            height=after.height,
        )
        storage.put(path, row.storage_name, sha256=row.sha256, byte_size=row.byte_size)
    return row


def _verified(path: Path) -> VideoFacts:
    with storage.staged(".png") as poster:  # it is not needed once more
        return renderer.run(verify_video, str(path), poster_path=str(poster))


def _shown(facts: VideoFacts) -> tuple[object, ...]:
    return facts.codec, facts.width, facts.height, facts.duration_ms, facts.frame_count, facts.has_audio
