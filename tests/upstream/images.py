"""Answers of the Images API."""

import json
from typing import Any

from tests.upstream.chat import error as error
from tests.upstream.pictures import b64, png
from tests.upstream.server import Answer, Step


def answer(*pictures: bytes | str, **fields: Any) -> Answer:
    """200 with pictures as b64_json; with none, one picture."""
    return of([{"b64_json": b64(data)} for data in pictures or (png(),)], **fields)


def by_address(*urls: str) -> Answer:
    """200 with addresses."""
    return of([{"url": url} for url in urls])


def of(data: Any, **fields: Any) -> Answer:
    """200 with this `data`."""
    value = {
        "created": 1_764_000_000,
        "size": "1024x1024",
        "quality": "high",
        "background": "opaque",
        "output_format": "png",
        "data": data,
        "usage": {"input_tokens": 12, "output_tokens": 4160, "total_tokens": 4172},
        **fields,
    }
    return Answer(200, json.dumps(value).encode())


def moderated() -> Answer:
    """400 moderation_blocked."""
    return error(400, "image_generation_user_error", "moderation_blocked", "Rejected by the safety system.")


def stream(*data: bytes | str, partials: int = 0) -> Answer:
    """Drafts, then one completed event for each picture."""
    steps: list[Step] = []
    for index in range(partials):
        name = "image_generation.partial_image"
        steps.append(_event(name, {"type": name, "b64_json": b64(png(16, 16)), "partial_image_index": index}))
    for picture in data or (png(),):
        name = "image_generation.completed"
        steps.append(_event(name, {"type": name, "b64_json": b64(picture)}))
    return Answer(200, tuple(steps), content_type="text/event-stream")


def _event(name: str, value: dict) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
