"""From an upstream's answer to verified pictures in the gallery's storage. No database is touched here."""

import os
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog
from django.conf import settings

from gallery import services as gallery
from gallery.decode_pool import verifier
from gallery.imaging import OUTPUT_LIMITS, ImageRejected, decode_base64_to_file, verify_image
from gallery.video import VIDEO_LIMITS, verify_video
from generations import raw_answers, spool
from generations.models import Attempt
from generations.providers.answer import Answer, durable_file
from generations.providers.base import Provider
from generations.providers.links import LinkRefused, fetch_link
from generations.settlement import NOTHING, Conclusion, Delivery, Picture
from generations.wire.reply import InlineImage

log = structlog.get_logger(__name__)

# Parsing holds a whole answer and its decoded picture in memory: as many at once as there are cores, however many
# answers land together.
parsing = threading.BoundedSemaphore(os.cpu_count() or 1)


MAX_DRAFTS = 4


@dataclass(frozen=True)
class Refusal:
    """Why something that came is no picture that we keep: an outcome, and a sentence safe to show."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Spooled:
    """Decoded bytes that nobody has looked at yet."""

    path: Path
    signature: str
    is_draft: bool
    kind: str

    @property
    def poster_path(self) -> Path:
        return self.path.with_suffix(".poster")


@dataclass(frozen=True, kw_only=True)
class Yield:
    """What came of one call: a conclusion, and with it pictures or a time to wait."""

    conclusion: Conclusion
    delivery: Delivery = NOTHING
    retry_after_s: float | None = None


def read_answer(
    provider: Provider, attempt: Attempt, answer: Answer, *, asked: int, with_drafts: bool, kind: str = "image"
) -> Yield:
    """Parse, decode and verify; of several pictures a bad one costs none of the good ones ('partial').

    The bytes say what came, never their declared type: a still picture for a clip (`kind` "video"), or a clip for a
    picture, is 'not_an_image'.
    """
    refusals: list[Refusal] = []
    with parsing:
        reply = provider.read(answer, count=asked)
        conclusion = Conclusion(
            outcome=reply.outcome or "ok",
            detail=reply.error.message if reply.error else "",
            http_status=answer.status,
            request_id=answer.request_id or reply.response_id or "",
            elapsed_ms=answer.elapsed_ms,
            finish_reason=reply.finish_reason or "",
            block_reason=reply.block_reason or "",
            usage=dict(reply.usage),
            raw_answer=raw_answers.summarise(answer),
        )
        drafts = [image for image in reply.images if image.thought and image not in reply.pictures]
        wanted = [*reply.pictures, *(drafts[-MAX_DRAFTS:] if with_drafts else ())]
        spooled = [
            _spool(attempt, index, image, is_draft=index >= len(reply.pictures), kind=kind, refusals=refusals)
            for index, image in enumerate(wanted)
        ]
    came = len(reply.pictures)
    if not came and reply.links and settings.UPSTREAM_LINK_HOSTS:
        spooled = [_fetch(attempt, index, url, kind, refusals) for index, url in enumerate(reply.links[:asked])]
        came, conclusion = len(spooled), replace(conclusion, outcome="ok")
    kept = [_keep(each, refusals) for each in spooled if each]
    delivery = Delivery(
        pictures=tuple(picture for picture in kept if picture),
        text=reply.text,
        text_signature=reply.text_signature or "",
        thoughts=reply.thoughts,
        safety_ratings=reply.safety_ratings,
        grounding=reply.grounding,
    )
    for refusal in refusals:
        log.warning("picture_rejected", **asdict(refusal), attempt=str(attempt.public_id))
    return Yield(
        conclusion=_judge(conclusion, delivery, refusals, asked=asked, came=came),
        delivery=delivery,
        retry_after_s=reply.retry_after_s,
    )


def _judge(conclusion: Conclusion, delivery: Delivery, refusals: list[Refusal], *, asked: int, came: int) -> Conclusion:
    """The outcome, now that it is known which of the pictures are whole."""
    if not came:
        return conclusion
    if not delivery.finals:
        return replace(conclusion, outcome=refusals[0].reason, detail=refusals[0].detail)
    missing = asked - len(delivery.finals)
    if not missing:
        return conclusion
    detail = refusals[0].detail if refusals else f"{missing} of {asked} pictures did not come"
    return replace(conclusion, outcome="partial", detail=detail)


def _spool(
    attempt: Attempt, index: int, image: InlineImage, *, is_draft: bool, kind: str, refusals: list[Refusal]
) -> Spooled | None:
    path = spool.picture_path(attempt, index)
    limits = VIDEO_LIMITS if kind == "video" else OUTPUT_LIMITS
    try:
        with durable_file(path) as file:
            decode_base64_to_file(image.data, Path(file.name), max_bytes=limits.max_bytes)
    except ImageRejected as error:
        refusals.append(Refusal(error.reason, error.detail))
        return None
    return Spooled(path, image.thought_signature or "", is_draft, kind)


def _fetch(attempt: Attempt, index: int, url: str, kind: str, refusals: list[Refusal]) -> Spooled | None:
    path = spool.picture_path(attempt, index)
    try:
        fetch_link(url, path)
    except LinkRefused as error:
        refusals.append(Refusal("text_only", str(error)))
        return None
    return Spooled(path, "", is_draft=False, kind=kind)


def _keep(spooled: Spooled, refusals: list[Refusal]) -> Picture | None:
    try:
        return _keep_clip(spooled) if spooled.kind == "video" else _keep_picture(spooled)
    except ImageRejected as error:
        spooled.path.unlink(missing_ok=True)
        spooled.poster_path.unlink(missing_ok=True)
        refusals.append(Refusal(error.reason, error.detail))
        return None


def _keep_picture(spooled: Spooled) -> Picture:
    facts = verifier.run(verify_image, spooled.path, limits=OUTPUT_LIMITS)
    gallery.keep_picture(path=spooled.path, facts=facts)
    return Picture(facts=facts, thought_signature=spooled.signature, is_draft=spooled.is_draft)


def _keep_clip(spooled: Spooled) -> Picture:
    facts = verifier.run(verify_video, spooled.path, poster_path=spooled.poster_path, limits=VIDEO_LIMITS)
    if facts.frame_count < 2:
        raise ImageRejected("not_an_image", "A still picture came instead of a clip.")
    # Made of hostile frames, so it passes the same gate as any picture.
    poster = verifier.run(verify_image, spooled.poster_path, limits=OUTPUT_LIMITS)
    gallery.keep_clip(path=spooled.path, facts=facts, poster_path=spooled.poster_path, poster=poster)
    return Picture(facts=facts, poster=poster, thought_signature=spooled.signature, is_draft=spooled.is_draft)
