"""The Images API: POST /v1/images/generations for the GPT Image and Flux models."""

import re
import time
from dataclasses import replace
from typing import Any

from generations.emulator.answers import Marks, Plan, Reply, draft_of
from generations.emulator.chat import BLOCKED, read_object
from generations.emulator.dialect import Dialect, Event
from generations.emulator.offer import PIXELS_AT_1K, nearest_ratio, sold_by_images_api
from generations.emulator.openai import error_body, error_reply, invalid, rate_limit_reply, unknown_model
from generations.emulator.order import Order
from generations.emulator.painter import describe

MAX_PROMPT = 32_000
MAX_COUNT = 10
MAX_PARTIALS = 3
LONGEST_SIDE, MAX_PIXELS, LARGEST_RATIO = 3840, 3840 * 2160, 3
USUAL_SIZE = (1024, 1024)
TOKENS_PER_PIXEL = 1 / 256
CHOICES = {
    "quality": ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"),
    "background": ("auto", "transparent", "opaque"),
    "moderation": ("auto", "low"),
    "output_format": ("png", "jpeg", "webp"),
    "response_format": ("b64_json", "url"),
}
KNOWN = {"prompt", "model", "n", "size", "user", "safety_identifier", "stream", "partial_images", "output_compression"}
KNOWN |= CHOICES.keys()
FLUX_ONLY = {"response_format", "seed"}


class Images(Dialect):
    """The protocol; its only results are pictures, so it refuses where the others would say something."""

    name = "images"
    results = "data"
    opening = b'{"created":1764547200,"data":[{"b64_json":"iVBOR'

    def error(self, status: int, message: str = "") -> Reply:
        return error_reply(status, message)

    def rate_limited(self, *, retry_s: float | None, quota: bool = False) -> Reply:
        return rate_limit_reply(quota=quota)

    def refuse_word(self, message: str) -> Exception:
        return invalid(message, "prompt")

    def answer(self, plan: Plan, marks: Marks) -> tuple[int, dict]:
        if plan.block_reason or plan.finish_reason in BLOCKED:
            message = "Your request was rejected by the safety system."
            return 400, error_body("image_generation_user_error", "moderation_blocked", message)
        items: list[dict[str, Any]] = [self._item(plan, marks, index) for index in plan.finals]
        if plan.content == "empty":
            items = [{}]
        order = plan.order
        echo = dict(order.settings) | {"size": f"{order.width}x{order.height}"}
        return 200, {"created": int(time.time()), **echo, "data": items, "usage": _usage(plan)}

    def events(self, plan: Plan, marks: Marks) -> list[Event]:
        """Drafts, which are planned as thoughts, and one event for each picture."""
        order = plan.order
        common = {"created_at": int(time.time()), "size": f"{order.width}x{order.height}", **dict(order.settings)}
        drafts = [index for index, drawing in enumerate(plan.drawings) if drawing.thought]
        name = "image_generation.partial_image"
        events = [
            Event(
                0.8 * (number + 1) / len(drafts),
                {"type": name, "b64_json": marks.data(index), "partial_image_index": number, **common},
                name=name,
            )
            for number, index in enumerate(drafts)
        ]
        name = "image_generation.completed"
        for index in plan.finals:
            picture = {"type": name, **self._item(plan, marks, index), **common, "usage": _usage(plan)}
            events.append(Event(1.0, picture, name=name))
        return events

    def _item(self, plan: Plan, marks: Marks, index: int) -> dict[str, Any]:
        if plan.order.by_address:
            return {"url": marks.address(index), "revised_prompt": describe(plan.drawings[index].wish)}
        return {"b64_json": marks.data(index)}


def parse_images(body: bytes) -> Order:
    """Read an images/generations body; raises Refusal."""
    payload = {name: value for name, value in read_object(body).items() if value is not None}
    model = payload.get("model")
    if not isinstance(model, str) or not sold_by_images_api(model):
        raise unknown_model(model)
    flux = model.startswith("flux")
    for name in payload:
        if name not in (KNOWN | FLUX_ONLY if flux else KNOWN - FLUX_ONLY):
            raise invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    prompt = payload.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise invalid("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    if len(prompt) > MAX_PROMPT:
        raise invalid(f"Invalid 'prompt': maximum length {MAX_PROMPT}.", "prompt", "string_above_max_length")
    chosen = {name: _read_choice(payload, name) for name in CHOICES}
    _read_int(payload, "output_compression", 100, 0, 100)
    width, height = _read_size(payload.get("size", "auto"))
    repeated = {"quality": "high", "background": "opaque", "output_format": chosen["output_format"]}
    repeated |= {name: chosen[name] for name in ("quality", "background") if chosen[name] != "auto"}
    streamed = payload.get("stream") is True
    return Order(
        dialect="images",
        model=model,
        prompt=prompt,
        ratio=nearest_ratio(width, height, tuple(PIXELS_AT_1K)),
        size=f"{width}x{height}",
        width=width,
        height=height,
        seed=_read_int(payload, "seed", 0, 0, 2**31 - 1) if "seed" in payload else None,
        count=_read_int(payload, "n", 1, 1, MAX_COUNT),
        image_format=chosen["output_format"].upper(),
        by_address=chosen["response_format"] == "url",
        streamed=streamed,
        partial_images=_read_int(payload, "partial_images", 0, 0, MAX_PARTIALS) if streamed else 0,
        settings=tuple(repeated.items()),
    )


def add_drafts(plan: Plan) -> None:
    """Plan the interim pictures that a stream was asked for."""
    if plan.drawings:
        wish = plan.drawings[0].wish
        drafts = [draft_of(replace(wish, seed=wish.seed + number)) for number in range(plan.order.partial_images)]
        plan.drawings = drafts + plan.drawings


def _read_choice(payload: dict, name: str) -> str:
    values = CHOICES[name]
    value = payload.get(name, "b64_json" if name == "response_format" else "png" if "format" in name else "auto")
    if value not in values:
        listed = ", ".join(f"'{known}'" for known in values)
        raise invalid(f"Invalid value: '{value}'. Supported values are: {listed}.", name)
    return value


def _read_int(payload: dict, name: str, usual: int, low: int, high: int) -> int:
    value = payload.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(f"Invalid '{name}': expected an integer between {low} and {high}.", name)
    return value


def _read_size(value: Any) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", value) if isinstance(value, str) else None
    if value == "auto":
        return USUAL_SIZE
    if found:
        width, height = int(found[1]), int(found[2])
        fits = width % 16 == height % 16 == 0 and max(width, height) <= LONGEST_SIDE and width * height <= MAX_PIXELS
        if fits and max(width, height) <= LARGEST_RATIO * min(width, height):
            return width, height
    raise invalid(
        f"Invalid size '{value}'. Sides are multiples of 16, at most {LONGEST_SIDE} and in a ratio of up to 3:1.",
        "size",
    )


def _usage(plan: Plan) -> dict:
    order = plan.order
    text = max(1, len(order.prompt) // 4)
    pictures = round(len(plan.finals) * order.width * order.height * TOKENS_PER_PIXEL)
    return {
        "input_tokens": text,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
        "output_tokens": pictures,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": pictures},
        "total_tokens": text + pictures,
    }
