"""The verbs of the gallery: bytes are kept first, and then the picture that shows them, in the caller's transaction."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.core.files import File
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import quotas
from accounts.closing import refuse_closed
from accounts.errors import FieldError, InvalidInput, ServiceError
from accounts.guests import refuse_guest
from accounts.models import User
from gallery import collections, search, storage
from gallery.decode_pool import renderer, verifier
from gallery.errors import StorageUnavailable, UploadNotAPicture, UploadTooLarge
from gallery.imaging import (
    OUTPUT_LIMITS,
    UPLOAD_LIMITS,
    ImageFacts,
    ImageRejected,
    RenditionTarget,
    make_renditions,
    make_upload_copy,
    verify_image,
)
from gallery.models import MAX_ALT_TEXT_CHARS, MAX_TITLE_CHARS, Blob, Garbage, Image
from gallery.review.owners import note_new_words
from gallery.screening.pictures import Brought, admit_pictures
from gallery.screening.rules import admit
from gallery.sources import keepable
from gallery.video import VideoFacts

log = structlog.get_logger(__name__)

STORAGE_PAUSE_S = 10  # what a viewer is told to wait while the disk is full or the bucket is away
PREVIEW_SIDE = 320


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A small WebP copy that was never kept as a file; `dominant_colour` is "#rrggbb"."""

    content: bytes
    width: int
    height: int
    dominant_colour: str


def make_preview(path: Path) -> Preview:
    """A small copy of a picture that may be gone in a minute, verified as if it were kept; nothing is stored.

    Raises ImageRejected, OSError and DecodePoolError.
    """
    facts = verifier.run(verify_image, str(path), limits=OUTPUT_LIMITS)
    with storage.staged(".webp") as copy:
        (made,) = renderer.run(make_renditions, str(path), [RenditionTarget(path=str(copy), long_side=PREVIEW_SIDE)])
        content = copy.read_bytes()
    return Preview(content=content, width=made.width, height=made.height, dominant_colour=facts.dominant_colour)


def keep_picture(*, path: Path, facts: ImageFacts) -> str:
    """Keep a verified file byte for byte and return its storage name; `path` is gone afterwards.

    Precondition: no open transaction, because this waits for the disk or the bucket. Safe to repeat; raises OSError.
    What is never followed by `add_image` is an orphan that collectgarbage removes.
    """
    return storage.put_original(path, facts)


def keep_clip(*, path: Path, facts: VideoFacts, poster_path: Path, poster: ImageFacts) -> str:
    """As `keep_picture`, for a verified clip and the still picture of it; returns the name of the clip."""
    storage.put_original(poster_path, poster)
    return storage.put_original(path, facts)


def add_image(
    *,
    owner: User,
    facts: ImageFacts | VideoFacts,
    prompt: str,
    model: str,
    caption: str,
    aspect_ratio: str,
    image_size: str,
    honours_aspect_ratio: bool,
    honours_image_size: bool,
    source_reference: str,
    kind: str = "image",
    poster: ImageFacts | None = None,
    rule_hits: Sequence[Mapping[str, Any]] = (),
    sources: Sequence[Mapping[str, object]] = (),
) -> Image:
    """Give `owner` a picture whose bytes `keep_picture` has kept, or a clip and its poster that `keep_clip` has kept.

    Images of identical bytes share one blob. `sources` are what a search brought, as `sources.keepable` reads them.

    Precondition: an open transaction, the one that charges for the picture, and its caller starts
    `tasks.make_renditions` when it is committed.
    """
    caption = _storable(caption)
    # What was paid for is kept, also past the limit: that refuses the next wish.
    quotas.add_storage(owner, facts.byte_size + (poster.byte_size if poster else 0))
    image = Image.objects.create(
        owner=owner,
        blob=_clip_blob(facts, poster) if isinstance(facts, VideoFacts) else _picture_blob(facts),
        kind=kind,
        alt_text=caption[:MAX_ALT_TEXT_CHARS],
        prompt=prompt,
        caption=caption,
        model=model,
        aspect_ratio=aspect_ratio,
        image_size=image_size,
        honours_aspect_ratio=honours_aspect_ratio,
        honours_image_size=honours_image_size,
        source_reference=source_reference,
        rule_hits=[dict(hit) for hit in rule_hits],
        sources=keepable(sources),
    )
    search.index([image])
    return image


def forget_sources(images: Iterable[int]) -> None:
    """What a search brought for these pictures is dropped; `images` are their keys."""
    Image.objects.filter(pk__in=images).exclude(sources=[]).update(sources=[])


def add_upload(*, owner: User, file: File, field: str = "file") -> Image:
    """Keep a picture that `owner` has sent, to be looked at by a model; it is in no list, and it costs nothing.

    `field` is how a refusal calls it.

    What is kept is a new copy of its pixels, upright and in sRGB: nothing of its metadata, no place where it was taken.
    Precondition: no open transaction. Raises UploadTooLarge, UploadNotAPicture, PictureRejected, QuotaExceeded,
    InvalidInput, StorageUnavailable and AccountNeeded.
    """
    refuse_guest(owner, "Without an account nothing is uploaded.")
    if (file.size or 0) > UPLOAD_LIMITS.max_bytes:
        raise UploadTooLarge
    standing = quotas.standing_of(owner)
    quotas.check_storage(standing=standing)  # so that nothing is decoded for whoever has no room at all
    with storage.staged() as sent, storage.staged() as copy:
        digest = hashlib.sha256()
        with sent.open("xb") as writer:
            for chunk in file.chunks():
                digest.update(chunk)
                writer.write(chunk)
        try:
            facts = verifier.run(make_upload_copy, sent, copy, limits=UPLOAD_LIMITS)
        except ImageRejected as error:
            raise _refusal_of(error, field) from error
        sha256s = (digest.hexdigest(), facts.sha256)
        brought = Brought(field=field, sha256s=sha256s, hash=facts.perceptual_hash or "")
        admit_pictures(user=owner, brought=[brought], door="upload")
        # Counted before a byte is kept: of many uploads at once those that find no room leave nothing behind.
        hold = quotas.reserve_storage(standing=standing, byte_size=facts.byte_size)
        try:
            keep_picture(path=copy, facts=facts)
            with transaction.atomic():
                quotas.keep_storage(hold)
                image = Image.objects.create(owner=owner, blob=_picture_blob(facts), kind="upload")
                refuse_closed(owner)
                return image
        except OSError as error:
            quotas.release_storage(hold)
            log.error("upload_not_kept", sha256=facts.sha256, error=repr(error))
            raise StorageUnavailable(retry_after=STORAGE_PAUSE_S) from error
        except BaseException:
            quotas.release_storage(hold)
            raise


def _refusal_of(error: ImageRejected, field: str) -> ServiceError:
    match error.reason:
        case "too_large":
            return UploadTooLarge(error.detail)
        case "truncated":
            return InvalidInput.of(field, error.detail)
    return UploadNotAPicture(error.detail)


def trash_image(*, owner: User, public_id: UUID | str) -> Image:
    """Move a picture of `owner` to the trash, where it stays until it is restored; a second time changes nothing.

    Raises NotFound, for other people's too.
    """
    return _move(owner, public_id, to_trash=True)


def restore_image(*, owner: User, public_id: UUID | str) -> Image:
    """Bring a picture of `owner` back from the trash; one that is not there stays as it is. Raises NotFound."""
    return _move(owner, public_id, to_trash=False)


def _move(owner: User, public_id: UUID | str, *, to_trash: bool) -> Image:
    images = Image.objects.owned_by(owner)
    # Conditional, so that of two requests at once one writes and the version grows by one.
    images.filter(public_id=public_id, trashed_at__isnull=to_trash).update(
        trashed_at=timezone.now() if to_trash else None, version=F("version") + 1
    )
    return images.with_blob().get_public(public_id)


def edit_image(
    *,
    owner: User,
    public_id: UUID | str,
    title: str | None = None,
    alt_text: str | None = None,
    favourite: bool | None = None,
    collection_ids: Iterable[UUID | str] | None = None,
) -> Image:
    """Change what the owner may change of a picture; None leaves a thing as it is, an empty text takes it away.

    `collection_ids` are all the collections that it is in afterwards. A published one with new words goes back to the
    reviewers (`note_new_words`), and keeps an alternative text. Raises NotFound, InvalidInput, PromptRejected for words
    that a rule blocks and, when it is decided at this very moment, Conflict.
    """
    image = Image.objects.owned_by(owner).with_blob().get_public(public_id)
    words = {
        "title": image.title if title is None else " ".join(title.split()),
        "alt_text": image.alt_text if alt_text is None else alt_text.replace("\r\n", "\n").strip(),
    }
    new_words = {name: text for name, text in words.items() if text != getattr(image, name)}
    _check_words(new_words)
    if image.visibility != Image.Visibility.PRIVATE and not new_words.get("alt_text", "kept"):
        message = "A picture that others are to see keeps an alternative text. Make it private first."
        raise InvalidInput.of("alt_text", message)
    verdict = admit(new_words)
    changes: dict[str, object] = {**new_words}
    if favourite is not None and favourite != image.is_favourite:
        changes["is_favourite"] = favourite
    with transaction.atomic():
        has_moved = collection_ids is not None and collections.assign(
            owner=owner, image=image, public_ids=collection_ids
        )
        if not changes and not has_moved:
            return image
        Image.objects.filter(pk=image.pk).update(**changes, version=F("version") + 1)
        if new_words:
            note_new_words(image, changed=[*new_words], verdict=verdict)
        # Read again under the row's lock: of two changes at once the later one indexes both.
        image = Image.objects.owned_by(owner).with_blob().get_public(public_id)
        if new_words:
            search.index([image])
    return image


def _check_words(changes: dict[str, str]) -> None:
    limits = {"title": MAX_TITLE_CHARS, "alt_text": MAX_ALT_TEXT_CHARS}
    problems = []
    for name, text in changes.items():
        if len(text) > limits[name]:
            problems.append(FieldError(name, f"This has {len(text)} characters; {limits[name]} is the most."))
        elif text != _storable(text):
            problems.append(FieldError(name, "This holds characters that cannot be kept."))
    if problems:
        raise InvalidInput(" ".join(problem.message for problem in problems), errors=tuple(problems))


def _picture_blob(facts: ImageFacts) -> Blob:
    return _blob(facts, dominant_colour=facts.dominant_colour, perceptual_hash=facts.perceptual_hash)


def _clip_blob(facts: VideoFacts, poster: ImageFacts | None) -> Blob:
    if poster is None:
        raise ValueError("A clip is kept with its poster.")
    still = _picture_blob(poster)
    shown = {"dominant_colour": still.dominant_colour, "thumbhash": still.thumbhash}
    return _blob(facts, **shown, duration_ms=facts.duration_ms, poster=still)


def _blob(facts: ImageFacts | VideoFacts, **others: object) -> Blob:
    # What is in use again is no garbage. On PostgreSQL this waits for a collector that holds the mark, and the blob
    # that he removes is made anew below.
    Garbage.objects.filter(name=storage.original_name(facts.sha256, mime_type=facts.mime_type)).delete()
    # Two jobs may bring identical bytes at once: the unique digest lets the second INSERT wait, fail and read the row.
    blob, _ = Blob.objects.get_or_create(
        sha256=facts.sha256,
        defaults={
            "byte_size": facts.byte_size,
            "mime_type": facts.mime_type,
            "width": facts.width,
            "height": facts.height,
            "has_c2pa": facts.has_c2pa,
            **others,
        },
    )
    return blob


def _storable(text: str) -> str:
    """An upstream's text without what a database refuses (NUL, lone surrogates): a caption must not lose a picture."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
