"""What the pages show of a generation: one card each, made with a constant number of queries.

What a card says about money comes from the ledger: the hold of the job's last run, and what became of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, prefetch_related_objects
from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import Transfer, User
from gallery.models import Image
from gallery.renditions import LONG_SIDES
from gallery.tiles import Clip, clip_of
from generations import catalog
from generations.background import Grounding, grounding_of, previews_of, thoughts_of
from generations.estimates import Estimate, estimate_all, typical_latency_s
from generations.models import Attempt, DraftPreview, Generation, GenerationQuerySet, Output, Status
from generations.outcomes import OUTCOMES
from generations.slots import Shortfall, Slot, shortfall_of, slots_of
from generations.spec import GenerationSpec

PROMPT_CHARS = 200  # a page of cards stays small; the whole prompt is on the generation's own page
NAME_CHARS = 70
THINKING_CHARS = 600  # the end of what is being thought, on a card that changes twice a second

Step = Literal["done", "now", "ahead"]
Tone = Literal["bad", "warn", "info"]
# What is nobody's fault and passes by itself is told in amber.
_PASSING = frozenset({"rate_limited", "unavailable", "timeout", "unknown", "no_image", "text_only", "cut_short"})
_NOW = {
    "starting": "Sending",
    "painting": "Painting",
    "deciding": "Painting",
    "waiting_to_retry": "Waiting to try again",
    "upstream_resting": "Waiting for the provider",
    "recovering": "Picking up again",
    "sharing": "The same wish is being painted",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a job's way. `word` is short; a step in progress is the current one."""

    word: str
    step: Step


@dataclass(frozen=True, slots=True)
class Money:
    """What the ledger says: the amount in micro-USD is held, charged, or given back (`released`)."""

    state: Literal["held", "charged", "released"]
    micros: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no picture, and what may be done."""

    title: str
    message: str
    remedy: str
    tone: Tone
    is_retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture as a page shows it; `source_set` offers its small copies by their true widths."""

    id: str
    alt: str
    width: int
    height: int
    colour: str
    thumbhash: str
    source: str
    source_set: str
    honours_aspect_ratio: bool
    honours_image_size: bool
    is_trashed: bool
    clip: Clip | None = None
    caption: str = ""

    @property
    def ratio(self) -> float:
        return round(self.width / self.height, 4)


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One upstream call in words."""

    number: int
    title: str
    outcome: str
    http_status: int | None
    elapsed_ms: int | None
    request_id: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """A generation as it is now; `entries` are the numbers of the attempts that brought a search entry."""

    generation: Generation
    spec: GenerationSpec
    estimate: Estimate
    attempts: tuple[AttemptLine, ...]
    pictures: tuple[Picture, ...]
    purged_count: int
    drafts: tuple[Picture, ...]
    previews: tuple[DraftPreview, ...]
    thoughts: str
    grounding: Grounding | None
    entries: tuple[int, ...]
    slots: list[Slot]
    shortfall: Shortfall | None
    money: Money
    expected_ms: int
    whole: bool = False

    @property
    def id(self) -> UUID:
        return self.generation.public_id

    @property
    def status(self) -> str:
        return self.generation.status

    @property
    def is_unfinished(self) -> bool:
        return not self.generation.is_terminal

    @property
    def prompt(self) -> str:
        """The prompt, cut where many cards share a page."""
        prompt = self.generation.prompt
        return prompt if self.whole or len(prompt) <= PROMPT_CHARS else prompt[:PROMPT_CHARS].rstrip() + "…"

    @property
    def name(self) -> str:
        """A few words of the prompt, for labels."""
        return Truncator(" ".join(self.generation.prompt.split())).chars(NAME_CHARS)

    @property
    def model_label(self) -> str:
        return model_label(self.generation.model)

    @property
    def ratio(self) -> float:
        """Width by height of the picture that is expected."""
        width, height = (int(side) for side in self.spec.aspect_ratio.split(":"))
        return round(width / height, 4)

    @property
    def count(self) -> int:
        return self.spec.count

    @property
    def ready_count(self) -> int:
        return sum(slot.is_ready for slot in self.slots)

    @property
    def columns(self) -> int:
        """Of the grid in which the pictures stand."""
        return 1 if (self.count if self.is_unfinished else len(self.pictures)) == 1 else 2

    @property
    def judged(self) -> tuple[Picture, ...]:
        """The pictures whose shape and size are told one by one; the first alone when all are as asked."""
        as_asked = all(each.honours_aspect_ratio and each.honours_image_size for each in self.pictures)
        return self.pictures[:1] if as_asked else self.pictures

    @property
    def has_caption(self) -> bool:
        return "TEXT" in self.spec.modalities

    @property
    def elapsed_ms(self) -> int | None:
        """From the request to its end."""
        generation = self.generation
        return _ms_between(generation.queued_at, generation.finished_at) if generation.finished_at else None

    @property
    def running_ms(self) -> int:
        """How long it has been worked on, up to now."""
        return _ms_between(self.generation.started_at or timezone.now(), timezone.now())

    @property
    def stages(self) -> list[Stage]:
        """The way of a job: what is behind it, where it is, what is to come."""
        generation = self.generation
        held = Stage("held", "done")  # its words are the amount
        if generation.status == Status.QUEUED or generation.started_at is None:
            ahead = [Stage(word, "ahead") for word in ("Sent", "Painting", "Checking", "Saving")]
            return [held, Stage("Waiting its turn", "now"), *ahead]
        queued = Stage("queued", "done")  # its words are the time
        now = _NOW.get(generation.stage, "Painting")
        rest = [Stage("Checking", "ahead"), Stage("Saving", "ahead")]
        if now == "Sending":
            return [held, queued, Stage(now, "now"), Stage("Painting", "ahead"), *rest]
        return [held, queued, Stage("Sent", "done"), Stage(now, "now"), *rest]

    @property
    def stage_word(self) -> str:
        return next((stage.word for stage in self.stages if stage.step == "now"), "")

    @property
    def thinking(self) -> str:
        """What the model thinks at this moment: all of it on the page of the run, elsewhere the end."""
        if self.whole or len(self.thoughts) <= THINKING_CHARS:
            return self.thoughts
        return "…" + self.thoughts[-THINKING_CHARS:].lstrip()

    @property
    def face(self) -> str:
        """Changes with whatever the card of an unfinished job shows, but for its thoughts, its drafts and the time."""
        return f"{self.stage_word} {self.ready_count} {self.attempt_number} {self.is_cancelling:d}"

    @property
    def queued_ms(self) -> int:
        generation = self.generation
        return _ms_between(generation.queued_at, generation.started_at or timezone.now())

    @property
    def is_cancelling(self) -> bool:
        return self.is_unfinished and self.generation.cancel_requested_at is not None

    @property
    def attempt_number(self) -> int:
        return len(self.attempts)

    @property
    def trouble(self) -> Trouble | None:
        if self.generation.status != Status.FAILED:
            return None
        outcome = OUTCOMES[self.generation.error_code]
        tone: Tone = "warn" if outcome.name in _PASSING else "bad"
        # The title stands above the message, which often begins with it.
        message = outcome.message.removeprefix(f"{outcome.title}.").lstrip()
        return Trouble(outcome.title, message, outcome.remedy, tone, outcome.retryable)


def model_label(model_id: str) -> str:
    """The label of a model, or its id once the catalogue has forgotten it."""
    model = catalog.MODELS.get(model_id)
    return model.label if model else model_id


def runs_of(user: User) -> GenerationQuerySet:
    """The user's generations, newest first, with the hold, what became of it, and the place in their line."""
    return Generation.objects.filter(user=user).select_related("hold__resolution").with_place()


def load_pictures(generations: Iterable[Generation]) -> None:
    """Load what came of them in one query."""
    outputs = Output.objects.select_related("image__blob").defer("thought_signature")
    prefetch_related_objects(
        list(generations),
        Prefetch("outputs", queryset=outputs),
        Prefetch("reused_from__outputs", queryset=outputs),
    )


def load_attempts(generations: Iterable[Generation]) -> None:
    """Load the calls made for them in one query, with what was found for them but not the search engine's HTML."""
    has_entry = ExpressionWrapper(Q(evidence__rendered_content__gt=""), output_field=BooleanField())
    attempts = (
        Attempt.objects.select_related("evidence")
        .annotate(has_entry=has_entry)
        .defer("raw_answer", "usage", "detail", "text", "text_signature", "evidence__rendered_content")
    )
    generations = list(generations)
    prefetch_related_objects(generations, Prefetch("attempts", queryset=attempts))
    thinking = [each for each in generations if _is_thinking(each)]
    if thinking:
        previews = Prefetch("attempts__previews", queryset=DraftPreview.objects.defer("content"))
        prefetch_related_objects(thinking, previews)


def _is_thinking(generation: Generation) -> bool:
    """Whether there may be thoughts and drafts before there is a picture."""
    return generation.status == Status.RUNNING and bool(generation.spec.get("include_thoughts"))


def make_cards(generations: Sequence[Generation], *, whole: bool = False) -> list[Card]:
    """Cards of rows of `runs_of`; two queries, and one for each latency and one for the queue that nobody has asked
    for lately. While a job thinks aloud it is one more.
    """
    load_pictures(generations)
    load_attempts(generations)
    estimates = estimate_all(generations)
    return [_card(generation, estimates[generation.pk], whole=whole) for generation in generations]


def _card(generation: Generation, estimate: Estimate, *, whole: bool) -> Card:
    spec = GenerationSpec.from_canonical(generation.spec)
    outputs = [output for output in generation.shown_outputs if not output.is_draft]
    drafts = [output for output in generation.shown_outputs if output.is_draft and output.is_kept]
    calls = [attempt for attempt in generation.attempts.all() if attempt.run == generation.run]
    latency_s = 0.0 if generation.is_terminal else typical_latency_s(model=generation.model, size=spec.image_size)
    return Card(
        generation=generation,
        spec=spec,
        estimate=estimate,
        attempts=tuple(attempt_line(attempt) for attempt in generation.attempts.all()),
        pictures=tuple(picture_of(output.image) for output in outputs if output.is_kept),
        purged_count=sum(not output.is_kept for output in outputs),
        drafts=tuple(picture_of(output.image) for output in drafts) if spec.include_thoughts else (),
        previews=tuple(previews_of(generation)) if _is_thinking(generation) else (),
        thoughts=thoughts_of(generation) if spec.include_thoughts else "",
        grounding=grounding_of(generation),
        entries=tuple(attempt.number for attempt in calls if getattr(attempt, "has_entry", False)),
        slots=[] if generation.is_terminal else slots_of(generation, spec.count),
        shortfall=shortfall_of(generation, outputs, spec.count) if generation.status == Status.SUCCEEDED else None,
        money=money_of(generation),
        expected_ms=round(latency_s * 1000),
        whole=whole,
    )


def money_of(generation: Generation) -> Money:
    """What the ledger says of the last run's hold; needs the hold and its resolution."""
    if generation.hold is None:  # it shows the pictures of another one
        return Money("charged", 0)
    resolution = getattr(generation.hold, "resolution", None)
    if resolution is None:
        return Money("held", generation.hold.amount_micros)
    if resolution.kind == Transfer.Kind.POST:
        return Money("charged", resolution.amount_micros)
    return Money("released", generation.hold.amount_micros)


def picture_of(image: Image) -> Picture:
    """A picture, from an image with its blob."""
    blob = image.blob
    address = f"/api/v1/images/{image.public_id}/file"
    copies: dict[int, str] = {}
    for variant, long_side in LONG_SIDES.items():
        # A copy is never larger than the original, and its width is not its long side when it stands upright.
        width = max(1, round(min(1.0, long_side / max(blob.width, blob.height)) * blob.width))
        copies.setdefault(width, f"{address}?variant={variant} {width}w")
    return Picture(
        id=str(image.public_id),
        alt=Truncator(image.alt_text or image.prompt).chars(NAME_CHARS),
        width=blob.width,
        height=blob.height,
        colour=blob.dominant_colour,
        thumbhash=image.thumbhash,
        source=f"{address}?variant=640",
        source_set=", ".join(copies.values()),
        honours_aspect_ratio=image.honours_aspect_ratio,
        honours_image_size=image.honours_image_size,
        is_trashed=image.trashed_at is not None,
        clip=clip_of(image),
        caption=image.caption,
    )


def attempt_line(attempt: Attempt) -> AttemptLine:
    """One upstream call in words."""
    outcome = OUTCOMES.get(attempt.outcome)
    return AttemptLine(
        number=attempt.number,
        title=outcome.title if outcome else "Sent; no answer yet",
        outcome=attempt.outcome,
        http_status=attempt.http_status,
        elapsed_ms=attempt.elapsed_ms,
        request_id=attempt.upstream_request_id,
    )


@dataclass(frozen=True, slots=True)
class Tile:
    """One job in the rail of recent ones; without a picture it shows its state."""

    id: UUID
    name: str
    status: str
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class Day:
    """The tiles of one day, in UTC."""

    day: date
    tiles: list[Tile]

    @property
    def name(self) -> str:
        """Today, Yesterday, or nothing: then the date says it."""
        return {0: "Today", 1: "Yesterday"}.get((timezone.now().date() - self.day).days, "")


def make_tile(generation: Generation) -> Tile:
    """The tile of a generation whose pictures are loaded."""
    pictures = [
        picture_of(output.image) for output in generation.shown_outputs if not output.is_draft and output.is_kept
    ]
    name = Truncator(" ".join(generation.prompt.split())).chars(NAME_CHARS)
    shown = next((picture for picture in pictures if not picture.is_trashed), None)
    return Tile(generation.public_id, name, generation.status, shown)


def make_days(generations: Iterable[Generation]) -> list[Day]:
    """Tiles by day, in the order of the generations."""
    days: list[Day] = []
    for generation in generations:
        day = generation.created_at.date()
        if not days or days[-1].day != day:
            days.append(Day(day, []))
        days[-1].tiles.append(make_tile(generation))
    return days


def _ms_between(start: datetime, end: datetime) -> int:
    return max(0, round((end - start).total_seconds() * 1000))
