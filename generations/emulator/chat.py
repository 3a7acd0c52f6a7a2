"""Chat completions: the articles' protocol. Size, ratio and number are in the words; pictures come inside the text."""

import base64
import binascii
import re
import secrets
import time
from functools import partial
from typing import Any

import orjson

from generations.emulator.answers import Marks, Plan, Reply
from generations.emulator.dialect import Dialect, Event
from generations.emulator.forms import Item, write_message
from generations.emulator.offer import MODELS
from generations.emulator.openai import (
    error_body,
    error_reply,
    invalid,
    rate_limit_reply,
    unknown_model,
)
from generations.emulator.order import (
    INPUT_TYPES,
    MAX_INPUT_IMAGES,
    UNREADABLE_TYPES,
    Order,
    SentPicture,
    UnreadablePictureError,
    look_at,
)
from generations.emulator.wording import read_clip, read_count, read_shape

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_CHOICES = 4
PICTURE_TOKENS = 1120
DATA_URI = re.compile(r"data:([\w/+.-]+);base64,(.+)", re.DOTALL)
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
WITHOUT_PICTURE = ("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE")
REFUSED = ("RECITATION", "IMAGE_RECITATION", "LANGUAGE", "ESCALATION", "PUP_LIMITED_DISABLED")
BLOCKED = (
    "SAFETY",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
)


class Chat(Dialect):
    """POST /v1/chat/completions."""

    name = "chat"
    results = "choices"
    opening = (
        b'{"choices":[{"index":0,"message":{"role":"assistant","content":'
        b'"{\\"mime_type\\":\\"image/png\\",\\"b64\\":\\"iVBOR'
    )
    farewell = b"data: [DONE]\n\n"

    def error(self, status: int, message: str = "") -> Reply:
        return error_reply(status, message)

    def rate_limited(self, *, retry_s: float | None, quota: bool = False) -> Reply:
        return rate_limit_reply(quota=quota)

    def refuse_word(self, message: str) -> Exception:
        return invalid(message, "messages")

    def answer(self, plan: Plan, marks: Marks) -> tuple[int, dict]:
        if plan.block_reason:
            message = "Your request was rejected as a result of our safety system."
            return 400, error_body("invalid_request_error", "content_policy_violation", message, "messages")
        finish = _finish(plan)
        choices = [
            {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish}
            for index, message in enumerate(_messages(plan, marks))
        ]
        return 200, _envelope(plan, "chat.completion") | {"choices": choices, "usage": _usage(plan)}

    def events(self, plan: Plan, marks: Marks) -> list[Event]:
        envelope = _envelope(plan, "chat.completion.chunk")

        def chunk(index: int, delta: dict, finish: str | None = None) -> dict:
            return envelope | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

        def say(index: int, piece: str) -> dict:
            return chunk(index, {"content": piece})

        events = []
        for index, message in enumerate(_messages(plan, marks)):
            events.append(Event(0.2, chunk(index, {"role": "assistant", "content": ""})))
            content = message.pop("content")
            if isinstance(content, str):
                events.append(Event(1.0, content, wrap=partial(say, index)))
            elif content is not None:
                events.append(Event(1.0, chunk(index, {"content": content})))
            if message:  # images, or a refusal: whole
                events.append(Event(1.0, chunk(index, message)))
            if plan.finish_reason is not None:
                events.append(Event(1.0, chunk(index, {}, _finish(plan))))
        if plan.order.with_usage:
            events.append(Event(1.0, envelope | {"choices": [], "usage": _usage(plan)}))
        return events


def parse_chat(body: bytes) -> Order:
    """Read a chat completions body; raises Refusal. What this protocol does not know is ignored, as relays do."""
    payload = read_object(body)
    model = payload.get("model")
    if model not in MODELS:
        raise unknown_model(model)
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    texts = [_read_message(message, index) for index, message in enumerate(messages)]
    asked = [text for role, text, _ in texts if role == "user"]
    if not asked or not asked[-1].strip():
        raise invalid("Missing a message of the user.", "messages")
    prompt, pictures = asked[-1], [pictures for role, _, pictures in texts if role == "user"][-1]
    directive = "\n".join(text for role, text, _ in texts if role in ("system", "developer"))
    ratio, size, width, height = read_shape(prompt)
    clip_format, seconds = "", 0.0
    if re.search(r"\bvideo\b", directive, re.IGNORECASE):
        clip_format, seconds, width, height = read_clip(prompt, directive)
        size = f"{width}x{height}"
    as_list = not clip_format and re.search(r'\bkey images\b|"images"|\barray of\b', directive) is not None
    return Order(
        dialect="chat",
        model=model,
        prompt=prompt,
        ratio=ratio,
        size=size,
        width=width,
        height=height,
        seed=payload.get("seed") if isinstance(payload.get("seed"), int) else None,
        count=read_count(f"{directive}\n{prompt}") if as_list else _read_choices(payload.get("n")),
        clip_format=clip_format,
        seconds=seconds,
        wants_text=True,
        input_images=len(pictures),
        references=tuple(picture.colour for picture in pictures if picture),
        as_list=as_list,
        streamed=payload.get("stream") is True,
        with_usage=bool((payload.get("stream_options") or {}).get("include_usage")),
    )


def read_object(body: bytes) -> dict:
    """The JSON object of a body; raises Refusal."""
    try:
        payload = orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        payload = None
    if not isinstance(payload, dict):
        raise invalid("We could not parse the JSON body of your request.", code="invalid_json")
    return payload


def _read_choices(number: Any) -> int:
    if number is None:
        return 1
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_CHOICES:
        raise invalid(f"Invalid 'n': expected an integer between 1 and {MAX_CHOICES}.", "n")
    return number


def _read_message(message: Any, index: int) -> tuple[str, str, list[SentPicture | None]]:
    """Role, text and pictures of one message."""
    where = f"messages[{index}]"
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise invalid(f"Invalid value: '{role}'. Supported values are: {', '.join(ROLES)}.", f"{where}.role")
    content = message.get("content")
    if content is None and role == "assistant":
        return role, "", []
    if isinstance(content, str):
        return role, content, []
    if not isinstance(content, list):
        raise invalid("Invalid type for content: expected a string or an array.", f"{where}.content", "invalid_type")
    texts, pictures = [], []
    for number, part in enumerate(content):
        at = f"{where}.content[{number}]"
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image_url", "image_url": {"url": str(address)}}:
                pictures.append(_read_picture(address, at))
            case _:
                raise invalid("Invalid content part: expected text or image_url.", at)
    if len(pictures) > MAX_INPUT_IMAGES:
        raise invalid(f"Please use at most {MAX_INPUT_IMAGES} images.", f"{where}.content")
    return role, "\n".join(texts), pictures


def _read_picture(address: str, where: str) -> SentPicture | None:
    """A picture that was sent along, or None for one that nobody here can decode."""
    found = DATA_URI.fullmatch(address)
    if not found:
        raise invalid("Failed to download image: only data URIs are read here.", where, "invalid_image_url")
    if found[1] not in INPUT_TYPES:
        raise invalid(f"Unsupported image type: {found[1]}", where, "invalid_image_format")
    try:
        data = base64.b64decode(found[2], validate=True)
        return None if found[1] in UNREADABLE_TYPES else look_at(data)
    except (binascii.Error, UnreadablePictureError):
        raise invalid("The image data you provided does not represent a valid image.", where, "invalid_image") from None


def _envelope(plan: Plan, kind: str) -> dict:
    identity = f"chatcmpl-{secrets.token_hex(12)}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": plan.order.model}


def _finish(plan: Plan) -> str | None:
    reason = plan.finish_reason
    if reason is None or reason in FINISH:
        return FINISH.get(reason or "")
    if reason in BLOCKED:
        return "content_filter"
    return "stop" if reason in (*WITHOUT_PICTURE, *REFUSED) else reason.lower()


def _messages(plan: Plan, marks: Marks) -> list[dict]:
    """What each choice says: content, and images or a refusal."""
    items = [
        Item(drawing.mime_type, marks.data(index), marks.address(index)) for index, drawing in enumerate(plan.drawings)
    ]
    caption = "\n".join(plan.texts)
    if items:
        form, as_list = plan.order.form or "json", plan.order.as_list
        choices = [items] if as_list or plan.order.count == 1 else [[item] for item in items]
        return [write_message(form, choice, as_list=as_list or len(choice) > 1, caption=caption) for choice in choices]
    if plan.finish_reason in REFUSED:
        return [{"content": None, "refusal": "I cannot help with a picture of this."}]
    if plan.texts:
        return [{"content": caption}]
    return [{"content": None if plan.content in ("absent", "parts") else ""}]


def _usage(plan: Plan) -> dict:
    prompt = max(1, len(plan.order.prompt) // 4) + plan.order.input_images * PICTURE_TOKENS
    pictures = len(plan.drawings) * PICTURE_TOKENS
    completion = pictures + (0 if pictures else sum(len(text) // 4 for text in plan.texts))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"image_tokens": pictures},
    }
