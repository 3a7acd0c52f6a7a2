"""The images API, for the models that one key reaches beside the native ones: GPT Image, Flux and their like."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generations import catalog
from generations.spec import GenerationSpec
from generations.wire.document import Document, MalformedReply
from generations.wire.failure import describe, find_error, read_failure
from generations.wire.openai.pictures import LINKS_ONLY, LONG_TEXT_KEYS, Pictures, find_pictures
from generations.wire.openai.usage import read_usage
from generations.wire.reply import (
    MAX_BODY_BYTES,
    ParsedReply,
    UpstreamError,
    name_of,
    reply_of,
    reply_without,
    storable,
)

REQUEST_PATH = "/images/generations"

_FORMATS = ("png", "jpeg", "webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a family of models takes: fields that it does not know are refused with a 400."""

    qualities: tuple[str, ...] = ()
    has_output_format: bool = False
    has_response_format: bool = False
    has_user: bool = True
    has_seed: bool = False


GPT_IMAGE = Dialect(qualities=("auto", "low", "medium", "high", "xhigh", "max"), has_output_format=True)
GPT_IMAGE_CLASSIC = Dialect(qualities=("auto", "low", "medium", "high"), has_output_format=True)
FLUX = Dialect(has_response_format=True, has_seed=True)
_FAMILIES = {"gpt-image-1": GPT_IMAGE_CLASSIC, "flux": FLUX}


def dialect_of(upstream_model_id: str) -> Dialect:
    """The dialect of a model's family, by how its id begins."""
    found = (dialect for prefix, dialect in _FAMILIES.items() if upstream_model_id.startswith(prefix))
    return next(found, GPT_IMAGE)


def build_request(
    spec: GenerationSpec,
    *,
    upstream_model_id: str,
    dialect: Dialect,
    quality: str | None = None,
    output_format: str = "png",
    user_token: str | None = None,
) -> dict[str, Any]:
    """The body that asks for this wish; `user_token` has to be salted before, for it leaves the house.

    ValueError for a quality or a format that the dialect does not have.
    """
    width, height = catalog.expected_pixels(spec.aspect_ratio, spec.image_size, spec.model)
    body: dict[str, Any] = {
        "model": upstream_model_id,
        "prompt": spec.prompt,
        "n": spec.count,
        "size": f"{width}x{height}",
    }
    if quality is not None:
        if quality not in dialect.qualities:
            raise ValueError(f"quality {quality!r} is none of {', '.join(dialect.qualities) or 'this dialect'}.")
        body["quality"] = quality
    if dialect.has_output_format:
        if output_format not in _FORMATS:
            raise ValueError(f"output_format {output_format!r} is none of {', '.join(_FORMATS)}.")
        body["output_format"] = output_format
    if dialect.has_response_format:
        body["response_format"] = "b64_json"
    if dialect.has_seed and spec.seed is not None:
        body["seed"] = spec.seed
    if dialect.has_user and user_token:
        body["user"] = user_token
    return body


def parse_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    count: int = 1,
    max_body_bytes: int = MAX_BODY_BYTES,
    now: datetime | None = None,
) -> ParsedReply:
    """Read any answer that an upstream may give; never raises on what the answer holds.

    `count` is how many pictures were asked for. Addresses come as `links`, as with chat completions.
    """
    if not 200 <= status < 300:
        return reply_of(read_failure(status, headers, body, now))
    if len(body) > max_body_bytes:
        return reply_without("too_large", f"the reply has {len(body)} bytes")
    try:
        return _parse_success(Document(body, keys=LONG_TEXT_KEYS), headers, count, now)
    except MalformedReply as problem:
        return reply_without("malformed", str(problem))


def _parse_success(document: Document, headers: Mapping[str, str], count: int, now: datetime | None) -> ParsedReply:
    reply = document.value
    error = find_error(reply)
    if error is not None and not (isinstance(reply, dict) and reply.get("data")):
        return reply_of(describe(error, None, headers, now))
    if not isinstance(reply, dict):
        raise MalformedReply("the reply is not an object")
    # Some relays of Flux call the list "images".
    items = reply.get("data", reply.get("images"))
    if not isinstance(items, list):
        raise MalformedReply("the reply has no list of pictures")
    output_format = reply.get("output_format")
    found = Pictures()
    find_pictures(document, items, found, mime_type=f"image/{output_format}" if output_format in _FORMATS else "")
    pictures = tuple(found.inline[: max(1, count)])
    links = () if pictures else tuple(found.links)
    return ParsedReply(
        outcome=None if pictures else "text_only" if links else "no_image",
        pictures=pictures,
        images=tuple(found.inline),
        links=links,
        revised_prompt=_revised_prompt(items),
        usage=read_usage(reply.get("usage")),
        response_id=name_of(reply.get("id")),
        model_version=name_of(reply.get("model")),
        error=UpstreamError(None, None, LINKS_ONLY) if links else None,
    )


def _revised_prompt(items: list[Any]) -> str:
    prompts = (item.get("revised_prompt") for item in items if isinstance(item, dict))
    return next((storable(prompt) for prompt in prompts if isinstance(prompt, str) and prompt), "")
