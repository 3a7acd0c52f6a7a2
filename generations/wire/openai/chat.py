"""Chat completions as the articles use them for pictures: the wish in words, the picture as JSON in the answer.

The protocol has no field for shape or size; both are compiled into the prompt's text.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from generations import catalog
from generations.spec import GenerationSpec
from generations.wire.document import Document, MalformedReply
from generations.wire.failure import read_failure
from generations.wire.inputs import InputImage, check_inputs
from generations.wire.openai.completion import Completion
from generations.wire.openai.pictures import LONG_TEXT_KEYS
from generations.wire.reply import MAX_BODY_BYTES, ParsedReply, reply_of, reply_without
from generations.wire.sse import LEADING, EventSplitter, is_event_stream

REQUEST_PATH = "/chat/completions"

ONE_PICTURE = "Return only compact JSON with keys mime_type and b64 for a single image. No text, no code fences."
SEVERAL_PICTURES = "Return only compact JSON with key images: an array of objects each with mime_type and b64."
ONE_CLIP = "Return only compact JSON with mime_type and b64 for a single short video (2–3s)."
CLIP_WORDS = "2 seconds, 720p MP4"

# What the native remainder of a wish is called here; the rest of it has no place in this protocol.
_SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}


def fields_lost(spec: GenerationSpec) -> tuple[str, ...]:
    """What of a wish this protocol has no place for, by native name; a fallback to it is right only if nothing is."""
    native = spec.native_fields()
    config = native.pop("generationConfig", {})
    return (*sorted(native), *sorted(config.keys() - _SETTINGS.keys()))


def build_request(
    spec: GenerationSpec,
    *,
    upstream_model_id: str,
    user_token: str | None = None,
    styles: Sequence[str] = (),
    references: Sequence[InputImage] = (),
) -> dict[str, Any]:
    """The body that asks for this wish; `user_token` has to be salted before, for it leaves the house.

    `styles` are one for each of several pictures. ValueError for more references than a request may carry.
    """
    check_inputs(references, ())
    text = _prompt(spec, styles)
    config = spec.native_fields().get("generationConfig", {})
    body: dict[str, Any] = {
        "model": upstream_model_id,
        "messages": [
            {"role": "system", "content": _directive(spec)},
            {"role": "user", "content": _with_references(text, references) if references else text},
        ],
    }
    body |= {_SETTINGS[name]: value for name, value in config.items() if name in _SETTINGS}
    if spec.seed is not None:
        body["seed"] = spec.seed
    if user_token:
        body["user"] = user_token
    return body


def _directive(spec: GenerationSpec) -> str:
    if spec.kind == "video":
        return ONE_CLIP
    return SEVERAL_PICTURES if spec.count > 1 else ONE_PICTURE


def _prompt(spec: GenerationSpec, styles: Sequence[str]) -> str:
    if spec.kind == "video":
        return f"Text to video: {spec.prompt}\n\nAspect ratio {spec.aspect_ratio}, {CLIP_WORDS}."
    width, height = catalog.expected_pixels(spec.aspect_ratio, spec.image_size)
    lines = [f"Aspect ratio {spec.aspect_ratio}, {width}x{height}."]
    if spec.count > 1:
        lines += [f"Variant {number}: {style}." for number, style in enumerate(styles[: spec.count], 1) if style]
        lines.append(f"Make {spec.count} distinct variants.")
    return "\n".join([spec.prompt, "", *lines])


def _with_references(text: str, references: Sequence[InputImage]) -> list[dict[str, Any]]:
    urls = (f"data:{image.mime_type};base64,{image.data}" for image in references)
    return [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]


def parse_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    count: int = 1,
    max_body_bytes: int = MAX_BODY_BYTES,
    now: datetime | None = None,
) -> ParsedReply:
    """Read any answer that an upstream may give, a stream of chunks too; never raises on what the answer holds.

    `count` is how many pictures were asked for: as many of the last ones are the reply's `pictures`. A reply that has
    addresses only is "text_only" with `links`; to fetch them is for a guarded client to do, or not.
    """
    if not 200 <= status < 300:
        return reply_of(read_failure(status, headers, body, now))
    if len(body) > max_body_bytes:
        return reply_without("too_large", f"the reply has {len(body)} bytes")
    completion = Completion(headers, now)
    is_stream = is_event_stream(body)
    try:
        for data, may_be_cut in _chunks(body) if is_stream else [(body, False)]:
            try:
                completion.add(Document(data, keys=LONG_TEXT_KEYS))
            except MalformedReply:
                if not may_be_cut:
                    raise
    except MalformedReply as problem:
        return reply_without("malformed", str(problem))
    has_ended = not is_stream or completion.finish_reason is not None
    return completion.reply(count=count, has_ended=has_ended)


def _chunks(body: bytes) -> list[tuple[bytes, bool]]:
    splitter = EventSplitter()
    whole = splitter.feed(body.lstrip(LEADING))
    return [*((data, False) for data in whole), *((data, True) for data in splitter.finish())]
