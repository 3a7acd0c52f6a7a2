"""Answers of chat completions, in each form in which relays send pictures."""

import json
from typing import Any

from tests.upstream.pictures import b64, data_uri, png
from tests.upstream.server import Answer, Step

Picture = tuple[str, bytes | str]  # mime type, and bytes or what stands where base64 should


def picture(data: bytes | str | None = None, mime_type: str = "image/png") -> Picture:
    return mime_type, png() if data is None else data


def completion(message: dict, finish: str | None = "stop", **fields: Any) -> dict:
    """A chat.completion with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": "gemini-3-pro-image-preview",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 1120, "total_tokens": 1132},
        **fields,
    }


def of(value: Any, status: int = 200) -> Answer:
    """Any JSON."""
    return Answer(status, json.dumps(value).encode())


def says(content: Any, finish: str | None = "stop", **message: Any) -> Answer:
    """An answer with this content: a text, a list, None."""
    return of(completion({"content": content, **message}, finish))


def payload(*pictures: Picture, several: bool | None = None) -> str:
    """The strict JSON of the articles: one object, or `images` with several."""
    objects = [{"mime_type": mime_type, "b64": b64(data)} for mime_type, data in pictures]
    several = len(objects) != 1 if several is None else several
    return json.dumps({"images": objects} if several else objects[0], separators=(",", ":"))


# The forms, in the order in which a client looks for them


def by_images_field(*pictures: Picture, content: str | None = "Here it is.") -> Answer:
    """message.images."""
    entries = [
        {"type": "image_url", "image_url": {"url": data_uri(data, mime_type)}, "index": index}
        for index, (mime_type, data) in enumerate(pictures or (picture(),))
    ]
    return says(content, images=entries)


def by_parts(*pictures: Picture, words: str = "Here it is.") -> Answer:
    """A content that is a list of parts."""
    links = [
        {"type": "image_url", "image_url": {"url": data_uri(data, mime_type)}}
        for mime_type, data in pictures or (picture(),)
    ]
    return says([{"type": "text", "text": words}, *links])


def by_json(*pictures: Picture, several: bool | None = None) -> Answer:
    """Strict JSON as the content."""
    return says(payload(*(pictures or (picture(),)), several=several))


def by_fenced_json(*pictures: Picture) -> Answer:
    """JSON in a fence, words around."""
    return says(f"Sure:\n```json\n{payload(*(pictures or (picture(),)))}\n```\nAnything else?")


def by_stray_json(*pictures: Picture) -> Answer:
    """JSON between words with braces and quotes of their own."""
    inside = payload(*(pictures or (picture(),)))
    return says(f'I made {{"this"}} for you {{ as you said: {inside} and }} that was it "}}".')


def by_markdown(*pictures: Picture) -> Answer:
    """Markdown images with data URIs."""
    links = [f"![image]({data_uri(data, mime_type)})" for mime_type, data in pictures or (picture(),)]
    return says("Here you are\n\n" + "\n\n".join(links))


def by_data_uri(*pictures: Picture) -> Answer:
    """Bare data URIs."""
    return says("\n".join(data_uri(data, mime_type) for mime_type, data in pictures or (picture(),)))


def by_address(url: str, *, markdown: bool = True) -> Answer:
    """A hosted picture."""
    return says(f"![image]({url})" if markdown else url)


FORMS = {
    "images": by_images_field,
    "parts": by_parts,
    "json": by_json,
    "fenced": by_fenced_json,
    "stray": by_stray_json,
    "markdown": by_markdown,
    "data_uri": by_data_uri,
}


# Without a picture


def filtered(content: str | None = "") -> Answer:
    """finish_reason content_filter."""
    return says(content, "content_filter")


def refused(words: str = "I cannot help with that.") -> Answer:
    """A refusal of the model."""
    return says(None, refusal=words)


def policy_violation() -> Answer:
    """400 for the prompt."""
    return error(400, "invalid_request_error", "content_policy_violation", "Rejected by the safety system.")


def error(status: int, kind: str, code: str | None, words: str = "No.", param: str | None = None) -> Answer:
    """An error in OpenAI's shape."""
    return of({"error": {"message": words, "type": kind, "param": param, "code": code}}, status)


def rate_limited() -> Answer:
    return error(429, "requests", "rate_limit_exceeded")


def out_of_quota() -> Answer:
    return error(429, "insufficient_quota", "insufficient_quota")


# Streams


def chunk(delta: dict, finish: str | None = None) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_764_000_000,
        "model": "gemini-3-pro-image-preview",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def stream(*chunks: dict | Step, done: bool = True) -> Answer:
    """An event stream of chunks; steps of the server may stand between them."""
    steps: list[Step] = [
        b"data: " + json.dumps(entry).encode() + b"\n\n" if isinstance(entry, dict) else entry for entry in chunks
    ]
    return Answer(200, (*steps, b"data: [DONE]\n\n") if done else tuple(steps), content_type="text/event-stream")


def stream_of(content: str, *, size: int = 50) -> Answer:
    """A content, cut anywhere."""
    deltas = [chunk({"content": content[start : start + size]}) for start in range(0, len(content), size)]
    return stream(chunk({"role": "assistant", "content": ""}), *deltas, chunk({}, "stop"))
