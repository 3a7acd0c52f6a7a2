"""Every way in which the emulator can fail, by name.

In a prompt: `[fault:503]`; `[fault:503x2]` for the first two requests with exactly that prompt; `[latency:3]` sets this
request's latency in seconds. By rate for all requests: EMULATOR_FAULTS=`429:0.1,hang:0.02`.
"""

import base64
import random
import re
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from generations.emulator.answers import HTML_TYPE, Drawing, Plan, Reply, draft_of, json_reply
from generations.emulator.exchange import Exchange
from generations.emulator.protocol import RPC, bad_request, camel_to_snake, error_body, not_found, unauthenticated

DRIP_S = 0.25
HUGE_BODY_BLOCKS = 128  # of 1 MiB
BOMB_SIDE = 20_000
GZIP_BOMB_MEMBERS = 200  # of 1 MiB of zeros each
DEEP_LEVELS = 100_000
IMAGE_HEAD = b'{"candidates":[{"content":{"role":"model","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBOR'


@dataclass(frozen=True)
class Fault:
    """One fault: an answer of its own, a conduct on the connection, or a change to the planned answer."""

    name: str
    summary: str
    reply: Callable[[], Reply] | None = None
    conduct: Callable[[Exchange], Awaitable[None]] | None = None
    change: Callable[[Plan], None] | None = None
    at_once: bool = False  # the answer does not wait for the latency


def _error(code: int, status: str, message: str, *details: dict) -> Callable[[], Reply]:
    return lambda: json_reply(code, error_body(code, status, message, *details))


def _html(status: int, title: str) -> Callable[[], Reply]:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return lambda: Reply(status, (page.encode(),), HTML_TYPE)


def too_large() -> Reply:
    """413 as the front end gives it."""
    return _html(413, "413 Request Entity Too Large")()


def _rate_limited() -> Reply:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
        "quotaDimensions": {"location": "global"},
    }
    quota = {"@type": f"{RPC}.QuotaFailure", "violations": [violation]}
    retry = {"@type": f"{RPC}.RetryInfo", "retryDelay": "1s"}
    message = "You exceeded your current quota. Please retry in 1s."
    return json_reply(429, error_body(429, "RESOURCE_EXHAUSTED", message, quota, retry))


def _rate_limited_by_header() -> Reply:
    body = error_body(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")
    return replace(json_reply(429, body), headers=(("retry-after", "1"),))


def _openai_error() -> Reply:
    message = "The upstream load of this group is saturated (request id: 2025emulated)"
    error = {"message": message, "type": "new_api_error", "param": "", "code": "rate_limit_exceeded"}
    return json_reply(429, {"error": error})


def _redirect() -> Reply:
    return Reply(302, (b"",), HTML_TYPE, (("location", "https://elsewhere.invalid/v1beta/models"),))


@cache
def _gzip_bomb() -> Reply:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = deflate.compress(bytes(2**20)) + deflate.flush()
    return Reply(200, (member * GZIP_BOMB_MEMBERS,), headers=(("content-encoding", "gzip"),))


def _deep_json() -> Reply:
    return Reply(200, (b'{"candidates":' + b"[" * DEEP_LEVELS + b"]" * DEEP_LEVELS + b"}",))


async def _hang(exchange: Exchange) -> None:
    await exchange.client_left()


async def _slow_drip(exchange: Exchange) -> None:
    await exchange.start(200)
    while not await exchange.client_left(within_s=DRIP_S):
        await exchange.write(b" ")


async def _hangup_before(exchange: Exchange) -> None:
    await exchange.hang_up()


async def _hangup_mid(exchange: Exchange) -> None:
    await exchange.start(200, headers=(("content-length", str(2**20)),))
    await exchange.write(IMAGE_HEAD + b"A" * 2**16)
    await exchange.hang_up()


async def _huge_body(exchange: Exchange) -> None:
    await exchange.start(200)
    await exchange.write(IMAGE_HEAD)
    for _ in range(HUGE_BODY_BLOCKS):
        if await exchange.client_left(within_s=0):
            return
        await exchange.write(b"A" * 2**20)
    await exchange.write(b'"}}]}}]}', last=True)


def _ends(finish_reason: str, content: str, message: str | None = None) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan.texts.clear()
        plan.stop(finish_reason, content=content, message=message)

    return change


def _blocked_prompt(plan: Plan) -> None:
    plan.texts.clear()
    plan.drawings.clear()
    plan.block_reason = "SAFETY"


def _says(finish_reason: str, text: str) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan.texts = [text]
        plan.stop(finish_reason, content="parts")

    return change


def _finals(redraw: Callable[[Drawing], Drawing]) -> Callable[[Plan], None]:
    """Change every picture of the answer that is not a thought."""

    def change(plan: Plan) -> None:
        plan.drawings = [drawing if drawing.thought else redraw(drawing) for drawing in plan.drawings]

    return change


def _draws(**changes: Any) -> Callable[[Plan], None]:
    return _finals(lambda drawing: replace(drawing, **changes))


def _paints(image_format: str, claimed: str) -> Callable[[Plan], None]:
    def redraw(drawing: Drawing) -> Drawing:
        return replace(drawing, wish=replace(drawing.wish, format=image_format), mime_type=claimed)

    return _finals(redraw)


def _halved(drawing: Drawing) -> Drawing:
    wish = drawing.wish
    return replace(drawing, wish=replace(wish, width=wish.width // 2, height=wish.height // 2))


def _two_images(plan: Plan) -> None:
    plan.drawings += [replace(drawing, wish=drawing.wish.variant()) for drawing in plan.drawings]


def _thought_image_first(plan: Plan) -> None:
    plan.drawings = [draft_of(drawing.wish) for drawing in plan.drawings[-1:]] + plan.drawings


def _all_thought(plan: Plan) -> None:
    _thought_image_first(plan)
    _draws(thought=True)(plan)


def _rewrites(rewrite: Callable[[dict], Any]) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan.rewrite = rewrite

    return change


def _without_role(message: dict) -> dict:
    message["candidates"][0]["content"].pop("role")
    return message


def _with_extra_fields(message: dict) -> dict:
    candidate = message["candidates"][0]
    candidate["content"]["parts"].append({"text": "", "futurePart": {"kind": "HOLOGRAM"}})
    candidate["avgLogprobs"] = -0.1
    return message | {"modelStatus": {"modelStage": "PREVIEW"}, "futureField": [{"nested": None}]}


def _huge_dimensions(_: bytes) -> bytes:
    """A PNG of 400 megapixels, one bit each, in some 50 kB."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8)
    pixels = b"".join(deflate.compress(row) for _ in range(BOMB_SIDE)) + deflate.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    framed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _html_bytes(_: bytes) -> bytes:
    return b"<!DOCTYPE html><html><script>document.title = 'not a picture'</script></html>"


def _svg_bytes(_: bytes) -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>void 0</script></svg>'


def _cut_picture(data: bytes) -> bytes:
    return data[: len(data) * 3 // 5]


def _cut_base64(data: bytes) -> str:
    """Two thirds of the text and one character more: no whole number of bytes."""
    text = base64.b64encode(data).decode()
    return text[: len(text) // 6 * 4 + 1]


def _bad_base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return f"{text[:1000]}!*#${text[1004:]}"


def _urlsafe_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


FILTERED = "Unable to show the generated image. The image was filtered out. You will not be charged for blocked images."
OVERLOADED = "The model is overloaded. Please try again later."
INTERNAL = "An internal error has occurred. Please retry or report in the developer forum."

FAULTS = {
    fault.name: fault
    for fault in (
        # Refusals and failures by HTTP status.
        Fault(
            "400",
            "INVALID_ARGUMENT with fieldViolations",
            reply=lambda: json_reply(400, bad_request(("contents", "Request contains an invalid argument.")).body),
            at_once=True,
        ),
        Fault("401", "UNAUTHENTICATED", reply=lambda: json_reply(401, unauthenticated().body), at_once=True),
        Fault(
            "403",
            "PERMISSION_DENIED",
            reply=_error(403, "PERMISSION_DENIED", "The caller does not have permission"),
            at_once=True,
        ),
        Fault(
            "404",
            "NOT_FOUND",
            reply=lambda: json_reply(404, not_found("Requested entity was not found.").body),
            at_once=True,
        ),
        Fault("408", "DEADLINE_EXCEEDED", reply=_error(408, "DEADLINE_EXCEEDED", "Request timed out.")),
        Fault("413", "HTML body of a front end", reply=too_large, at_once=True),
        Fault("429", "RESOURCE_EXHAUSTED, RetryInfo 1s, no Retry-After", reply=_rate_limited, at_once=True),
        Fault("429_retry_after", "Retry-After: 1, no details", reply=_rate_limited_by_header, at_once=True),
        Fault("500", "INTERNAL", reply=_error(500, "INTERNAL", INTERNAL)),
        Fault("502", "HTML body of a proxy", reply=_html(502, "502 Bad Gateway")),
        Fault("503", "UNAVAILABLE", reply=_error(503, "UNAVAILABLE", OVERLOADED), at_once=True),
        Fault("504", "DEADLINE_EXCEEDED", reply=_error(504, "DEADLINE_EXCEEDED", "Deadline expired.")),
        Fault("302", "redirect to another host", reply=_redirect, at_once=True),
        Fault("openai_error", "429 with a relay's OpenAI-shaped error", reply=_openai_error, at_once=True),
        # The connection.
        Fault("hang", "never answers", conduct=_hang),
        Fault("slow_drip", "200, then a space now and then for ever", conduct=_slow_drip),
        Fault("hangup_before", "closes without an answer", conduct=_hangup_before),
        Fault("hangup_mid", "closes in the middle of the body", conduct=_hangup_mid),
        Fault("huge_body", "an answer of more than 128 MiB", conduct=_huge_body),
        # 200 with a body that is no protocol.
        Fault("gzip_bomb", "200 kB of gzip that hold 200 MiB of zeros", reply=_gzip_bomb),
        Fault("deep_json", "lists nested 100,000 deep", reply=_deep_json),
        Fault("empty_body", "200 without a body", reply=lambda: Reply(200, (b"",))),
        Fault("not_json", "200 with an HTML page", reply=_html(200, "Welcome")),
        Fault("json_list", "the answer inside a list", change=_rewrites(lambda message: [message])),
        # No picture.
        Fault("blocked_prompt", "promptFeedback.blockReason SAFETY, no candidates", change=_blocked_prompt),
        Fault("image_safety", "IMAGE_SAFETY, content without parts", change=_ends("IMAGE_SAFETY", "bare", FILTERED)),
        Fault("prohibited", "PROHIBITED_CONTENT, no content", change=_ends("PROHIBITED_CONTENT", "absent", FILTERED)),
        Fault("recitation", "RECITATION, no content", change=_ends("RECITATION", "absent")),
        Fault("no_image", "NO_IMAGE, content without parts", change=_ends("NO_IMAGE", "bare")),
        Fault("image_other", "IMAGE_OTHER, no content", change=_ends("IMAGE_OTHER", "absent")),
        Fault("other", "OTHER, no content", change=_ends("OTHER", "absent")),
        Fault("empty_parts", "STOP and parts []", change=_ends("STOP", "empty")),
        Fault("empty_candidates", "candidates []", change=_rewrites(lambda message: message | {"candidates": []})),
        Fault("null_candidates", "candidates null", change=_rewrites(lambda message: message | {"candidates": None})),
        Fault("text_only", "STOP and words only", change=_says("STOP", "I cannot draw that, but I can describe it.")),
        Fault("max_tokens", "MAX_TOKENS and cut words", change=_says("MAX_TOKENS", "Here is the pic")),
        Fault("unknown_finish", "a finishReason of the future", change=_ends("HOLOGRAM_PENDING", "absent")),
        # Pictures that must not be kept.
        Fault("truncated_b64", "base64 that is cut", change=_draws(spell=_cut_base64)),
        Fault("bad_b64", "characters outside the alphabet", change=_draws(spell=_bad_base64)),
        Fault("truncated_png", "good base64 of a cut picture", change=_draws(spoil=_cut_picture)),
        Fault("not_an_image", "HTML bytes as image/png", change=_draws(spoil=_html_bytes)),
        Fault("svg", "an SVG with a script", change=_draws(spoil=_svg_bytes, mime_type="image/svg+xml")),
        Fault("huge_dimensions", "a PNG bomb of 20000x20000", change=_draws(spoil=_huge_dimensions)),
        # Unusual answers that a client must cope with.
        Fault("wrong_mime", "claims image/png, bytes are JPEG", change=_paints("JPEG", "image/png")),
        Fault("jpeg", "an honest JPEG", change=_paints("JPEG", "image/jpeg")),
        Fault("webp", "an honest WebP", change=_paints("WEBP", "image/webp")),
        Fault("snake_case", "inline_data and mime_type", change=_rewrites(camel_to_snake)),
        Fault("thought_image_first", "a thought picture before the final one", change=_thought_image_first),
        Fault("all_thought", "two pictures, both thoughts", change=_all_thought),
        Fault("two_images", "two final pictures", change=_two_images),
        Fault("wrong_size", "half the width and height", change=_finals(_halved)),
        Fault("missing_role", "content without a role", change=_rewrites(_without_role)),
        Fault("extra_fields", "fields that no documentation names", change=_rewrites(_with_extra_fields)),
        Fault("urlsafe_b64", "base64 with - and _", change=_draws(spell=_urlsafe_base64)),
    )
}

_IN_PROMPT = re.compile(r"\[fault:(\w+?)(?:x(\d+))?\]")
_LATENCY = re.compile(r"\[latency:(\d+(?:\.\d+)?)\]")


def fault_in_prompt(prompt: str, occurrence: int) -> Fault | None:
    """The fault that a prompt names, for its n-th request (from 1); raises Refusal for a name that does not exist."""
    found = _IN_PROMPT.search(prompt)
    if found is None:
        return None
    name, times = found.groups()
    if name not in FAULTS:
        raise bad_request(("contents", f"The emulator knows no fault {name!r}."))
    return FAULTS[name] if times is None or occurrence <= int(times) else None


def latency_in_prompt(prompt: str) -> float | None:
    """Seconds that a prompt asks for."""
    found = _LATENCY.search(prompt)
    return float(found[1]) if found else None


def parse_rates(text: str) -> dict[str, float]:
    """`429:0.1,hang:0.02` as probabilities by name; raises ValueError with a sentence."""
    rates: dict[str, float] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, share = entry.partition(":")
        if name not in FAULTS:
            raise ValueError(f"there is no fault {name!r}; known are {', '.join(FAULTS)}")
        if not re.fullmatch(r"\d*\.?\d+", share):
            raise ValueError(f"a fault needs a probability such as {name}:0.1, not {entry!r}")
        rates[name] = float(share)
    if sum(rates.values()) > 1:
        raise ValueError("the probabilities of all faults together are more than 1")
    return rates


def draw_fault(rates: dict[str, float], rng: random.Random) -> Fault | None:
    """A fault by its rate, or none."""
    point = rng.random()
    for name, share in rates.items():
        point -= share
        if point < 0:
            return FAULTS[name]
    return None
