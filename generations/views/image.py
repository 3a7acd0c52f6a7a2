"""The page of one picture: what was asked for, what came, what it cost, and what can be done with it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.guest_sessions import open_to_guests
from accounts.models import User
from accounts.templatetags.plantain import duration
from gallery.imaging import MIME_TYPES
from gallery.models import HIDDEN_KINDS, Image
from gallery.publication import WITH_REVIEW, publication_of
from gallery.renditions import LONG_SIDES
from gallery.tiles import (
    alt_of,
    clip_of,
    file_address,
    library_address,
    name_of,
    shape_of,
    source_set,
    tile_of,
)
from generations import catalog, receipts
from generations.cards import AttemptLine, attempt_line, model_label
from generations.models import Attempt, Generation, Output
from generations.spec import GenerationSpec
from generations.views.access import person, signed_in
from generations.views.family import around

LONG_PROMPT_CHARS = 260  # what is longer is no heading any more
SHAPE_TOLERANCE = 0.02
CLIP_WISH = "2 s"  # in the words that every wish for a clip is sent with
NOTABLE_WAIT = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of "Asked and received"; `holds` is None where there was nothing to promise."""

    name: str
    asked: str
    received: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, in milliseconds; `waiting` is the pause between attempts, 0 where there was none."""

    total: int
    queue: int
    provider: int
    waiting: int
    saving: int


@dataclass(frozen=True, slots=True)
class Download:
    """One line of the download menu."""

    label: str
    note: str
    address: str


@open_to_guests
@never_cache
@signed_in
@require_safe
def image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One of the reader's own pictures, also when it is in the trash."""
    user = person(request)
    rows = Image.objects.owned_by(user).select_related(
        *("blob", "output__attempt", "output__generation__hold", "output__generation__price"), *WITH_REVIEW
    )
    picture = rows.filter(public_id=public_id).first()
    if picture is None:
        raise Http404
    made_by = picture.output.generation if hasattr(picture, "output") else None
    beside = around(user, picture, made_by)
    name = name_of(picture)
    prompt_is_heading = not picture.title and 0 < len(picture.prompt) <= LONG_PROMPT_CHARS
    context = {
        "image": picture,
        "blob": picture.blob,
        "name": name,
        "heading": picture.prompt if prompt_is_heading else name_of(picture, LONG_PROMPT_CHARS),
        "prompt_is_heading": prompt_is_heading,
        "alt": alt_of(picture, 300),
        "address": file_address(picture),
        "library": library_address(picture),
        "clip": clip_of(picture),
        "source_set": _source_set(picture),
        "ratio": round(picture.blob.width / picture.blob.height, 4),
        "file_type": _file_type(picture),
        "downloads": _downloads(picture),
        "again": _again(picture, made_by),
        "rows": _asked_and_received(picture, made_by),
        "newer": beside.newer,
        "older": beside.older,
        "here": tile_of(picture),
        "publication": publication_of(picture) if picture.kind not in HIDDEN_KINDS else None,
        "larger": [] if user.is_guest else _larger(picture, made_by),
        "trash_days": 0 if picture.review_status == Image.ReviewStatus.QUARANTINED else settings.TRASH_DAYS,
        "made_from": beside.made_from,
        "looked_at": beside.looked_at,
        "variations": beside.variations,
        "family": beside.family,
        **(_receipt(user, picture.output) if made_by else {}),
    }
    return render(request, "generations/image.html", context)


def _larger(picture: Image, made_by: Generation | None) -> list[tuple[str, str]]:
    """The sizes above its own, each with the studio's address for the same wish, which tells the price."""
    model = catalog.MODELS.get(picture.model)
    if made_by is None or model is None or picture.kind != "image" or picture.image_size not in model.sizes:
        return []
    spec, slot = GenerationSpec.from_canonical(made_by.spec), picture.output.index
    same: dict[str, object] = {"again": made_by.public_id, "parent": picture.public_id, "count": 1}
    if spec.styles:
        same |= {"styles": spec.styles[slot]}
    if (seed := spec.for_slot(slot).seed) is not None:
        same |= {"seed": seed}
    address = reverse("generations:studio")
    above = model.sizes[model.sizes.index(picture.image_size) + 1 :]
    return [(size, f"{address}?{urlencode(same | {'image_size': size})}") for size in above]


def _source_set(picture: Image) -> str:
    """The copies up to 1280, and the original for what is larger."""
    copies = source_set(picture, "640", "1280")
    if picture.blob.duration_ms is not None or max(picture.blob.width, picture.blob.height) <= max(LONG_SIDES.values()):
        return copies
    return f"{copies}, {file_address(picture)} {picture.blob.width}w"


def _file_type(picture: Image) -> str:
    return picture.blob.mime_type.partition("/")[2].upper().replace("WEBP", "WebP")


def _downloads(picture: Image) -> list[Download]:
    address = f"{file_address(picture)}?download=1"
    original = Download(
        "Original, as it came", f"{_file_type(picture)}, {filesizeformat(picture.blob.byte_size)}", address
    )
    labels = {"png": ("PNG", "without loss"), "jpeg": ("JPEG", "for mail"), "webp": ("WebP", "for the web")}
    if picture.blob.duration_ms is not None:
        labels = {format: (f"Still picture, {label}", note) for format, (label, note) in labels.items()}
    converted = [
        Download(*labels[format], f"{address}&format={format}")
        for format, mime_type in MIME_TYPES.items()
        if mime_type != picture.blob.mime_type
    ]
    return [original, *converted]


def _again(picture: Image, made_by: Generation | None) -> str:
    """The studio with the same wish; by the job's id where there is one, as a long prompt overflows an address."""
    wish = (
        {"again": made_by.public_id, "parent": picture.public_id}
        if made_by
        else {
            "prompt": picture.prompt,
            "model": picture.model,
            "aspect_ratio": picture.aspect_ratio,
            "image_size": picture.image_size,
            **({"kind": "video"} if picture.kind == "video" else {}),
        }
    )
    return f"{reverse('generations:studio')}?{urlencode(wish)}"


def _asked_and_received(picture: Image, made_by: Generation | None) -> list[Row]:
    blob = picture.blob
    if picture.is_upload:
        return []
    rows = [
        Row("Model", model_label(picture.model), _model_used(picture), None),
        Row("Shape", picture.aspect_ratio, _shape_in_words(picture), picture.honours_aspect_ratio),
        Row("Size", picture.image_size, f"{blob.width} × {blob.height}", picture.honours_image_size),
        *([Row("Length", CLIP_WISH, duration(blob.duration_ms), None)] if blob.duration_ms is not None else []),
        Row("File", "Any", f"{_file_type(picture)}, {filesizeformat(blob.byte_size)}", None),
    ]
    if made_by:
        is_asked = "TEXT" in GenerationSpec.from_canonical(made_by.spec).modalities
        has_come = bool(picture.caption)
        rows.append(
            Row("Caption", "Yes" if is_asked else "No", "Came" if has_come else "None", has_come if is_asked else None)
        )
    return [row for row in rows if row.asked]


def _model_used(picture: Image) -> str:
    """The name under which the upstream was asked; what it runs behind that name is not ours to say."""
    return picture.output.attempt.upstream_model if hasattr(picture, "output") else picture.model


def _shape_in_words(picture: Image) -> str:
    """The nearest shape that has a name, else the ratio in figures."""
    ratio = picture.blob.width / picture.blob.height
    near = [
        name
        for name, (width, height) in catalog.PIXELS_1K.items()
        if abs(ratio / (width / height) - 1) <= SHAPE_TOLERANCE
    ]
    return shape_of(picture) if picture.honours_aspect_ratio or not near else near[0]


def _receipt(user: User, output: Output) -> dict[str, Any]:
    generation = output.generation
    attempts = list(generation.attempts.defer("usage", "detail"))
    moves = list(receipts.moves_of(user, generation))
    lines: list[AttemptLine] = [attempt_line(attempt) for attempt in attempts]
    return {
        "generation": generation,
        "timing": _timing(generation, attempts),
        "attempts": lines,
        "request_ids": [line.request_id for line in lines if line.request_id],
        "moves": moves,
        "cost": receipts.cost_of(output, moves),
    }


def _timing(generation: Generation, attempts: list[Attempt]) -> Timing | None:
    """None while it is not known. Only the last run counts: a job that was tried again begins anew."""
    if generation.started_at is None or generation.finished_at is None:
        return None
    calls = [attempt for attempt in attempts if attempt.run == generation.run]
    total = generation.finished_at - generation.queued_at
    queue = generation.started_at - generation.queued_at
    provider = timedelta(milliseconds=sum(call.elapsed_ms or 0 for call in calls))
    last_call = max((call.sent_at + timedelta(milliseconds=call.elapsed_ms or 0) for call in calls), default=None)
    saving = max(timedelta(), generation.finished_at - last_call) if last_call else timedelta()
    waiting = total - queue - provider - saving
    waiting = waiting if waiting >= NOTABLE_WAIT else timedelta()
    return Timing(*(round(part / timedelta(milliseconds=1)) for part in (total, queue, provider, waiting, saving)))
