"""Every way in which the emulator can fail, by name, in the shape of the protocol that is spoken.

In a prompt: `[fault:503]`; `[fault:503x2]` for the first two requests with exactly that prompt; `[latency:3]` sets this
request's latency in seconds; `[form:markdown]` how the answer carries its picture. By rate for all requests:
EMULATOR_FAULTS=`429:0.1,hang:0.02`.
"""

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache

from generations.emulator import changes, conducts
from generations.emulator.answers import HTML_TYPE, Reply, json_reply
from generations.emulator.dialect import Dialect
from generations.emulator.forms import FORMS, TEXT_FORMS, WITH_ADDRESS

GZIP_BOMB_MEMBERS = 200  # of 1 MiB of zeros each
DEEP_LEVELS = 100_000
LATER_S = 3600
NATIVE, CHAT, IMAGES = DIALECTS = ("native", "chat", "images")


@dataclass(frozen=True)
class Fault:
    """One fault: an answer of its own, a conduct on the connection, or a change to the planned answer."""

    name: str
    summary: str
    reply: Callable[[Dialect], Reply] | None = None
    conduct: conducts.Conduct | None = None
    change: changes.Change | None = None
    at_once: bool = False  # the answer does not wait for the latency
    dialects: tuple[str, ...] = DIALECTS


def _says_no(status: int) -> Callable[[Dialect], Reply]:
    return lambda dialect: dialect.error(status)


def _html(status: int, title: str) -> Callable[[Dialect], Reply]:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return lambda _: Reply(status, (page.encode(),), HTML_TYPE)


def too_large() -> Reply:
    """413 as the front end gives it, whatever the protocol."""
    return Reply(413, (b"<html><body><h1>413 Request Entity Too Large</h1></body></html>",), HTML_TYPE)


def _rate_limited(dialect: Dialect) -> Reply:
    return dialect.rate_limited(retry_s=1)


def _rate_limited_fraction(dialect: Dialect) -> Reply:
    return replace(dialect.rate_limited(retry_s=0.2), headers=(("retry-after-ms", "200"),))


def _rate_limited_by_header(dialect: Dialect) -> Reply:
    return replace(dialect.rate_limited(retry_s=None), headers=(("retry-after", "1"),))


def _rate_limited_by_date(dialect: Dialect) -> Reply:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    return replace(dialect.rate_limited(retry_s=None), headers=(("retry-after", until),))


def _rate_limited_long(dialect: Dialect) -> Reply:
    return replace(dialect.rate_limited(retry_s=LATER_S), headers=(("retry-after", str(LATER_S)),))


def _out_of_quota(dialect: Dialect) -> Reply:
    return replace(dialect.rate_limited(retry_s=None, quota=True), headers=(("x-should-retry", "false"),))


def _relay_error(status: int, code: str, message: str) -> Callable[[Dialect], Reply]:
    """What relays of the new-api family say on every path."""
    text = f"{message} (request id: 2025emulated)"
    return lambda _: json_reply(
        status, {"error": {"message": text, "type": "new_api_error", "param": "", "code": code}}
    )


def _redirect(status: int) -> Callable[[Dialect], Reply]:
    return lambda _: Reply(status, (b"",), HTML_TYPE, (("location", "https://elsewhere.invalid/v1beta/models"),))


@cache
def _gzip_bomb(_: Dialect) -> Reply:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = deflate.compress(bytes(2**20)) + deflate.flush()
    return Reply(200, (member * GZIP_BOMB_MEMBERS,), headers=(("content-encoding", "gzip"),))


def _deep_json(dialect: Dialect) -> Reply:
    return Reply(200, (f'{{"{dialect.results}":'.encode() + b"[" * DEEP_LEVELS + b"]" * DEEP_LEVELS + b"}",))


def _cut_json(dialect: Dialect) -> Reply:
    return Reply(200, (dialect.opening + b"A" * 999,))


def _error_200(dialect: Dialect) -> Reply:
    return replace(dialect.error(503), status=200)


FILTERED = "Unable to show the generated image. The image was filtered out. You will not be charged for blocked images."
FAULTS = {
    fault.name: fault
    for fault in (
        # Refusals and failures by HTTP status.
        Fault("400", "invalid request", reply=_says_no(400), at_once=True),
        Fault("401", "wrong key", reply=_says_no(401), at_once=True),
        Fault("402", "no money left upstream", reply=_says_no(402), at_once=True),
        Fault("403", "forbidden", reply=_says_no(403), at_once=True),
        Fault("404", "not found", reply=_says_no(404), at_once=True),
        Fault("408", "timed out upstream", reply=_says_no(408)),
        Fault("409", "conflict", reply=_says_no(409), at_once=True),
        Fault("413", "HTML body of a front end", reply=lambda _: too_large(), at_once=True),
        Fault("422", "cannot be processed", reply=_says_no(422), at_once=True),
        Fault("429", "too many requests; RetryInfo 1s where errors have details", reply=_rate_limited, at_once=True),
        Fault("429_retry_after", "Retry-After: 1, no details", reply=_rate_limited_by_header, at_once=True),
        Fault("429_date", "Retry-After as a date, 2 s ahead", reply=_rate_limited_by_date, at_once=True),
        Fault("429_fraction", "retry after 0.2 s, where it can be said", reply=_rate_limited_fraction, at_once=True),
        Fault("429_later", "Retry-After: 3600", reply=_rate_limited_long, at_once=True),
        Fault("429_quota", "the quota is used up; x-should-retry: false", reply=_out_of_quota, at_once=True),
        Fault("499", "cancelled upstream", reply=_says_no(499)),
        Fault("500", "internal error", reply=_says_no(500)),
        Fault("502", "HTML body of a proxy", reply=_html(502, "502 Bad Gateway")),
        Fault("503", "overloaded", reply=_says_no(503), at_once=True),
        Fault("504", "deadline expired", reply=_says_no(504)),
        Fault("302", "redirect to another host", reply=_redirect(302), at_once=True),
        Fault("307", "redirect that keeps the method", reply=_redirect(307), at_once=True),
        Fault(
            "openai_error",
            "429 with the error of a relay",
            reply=_relay_error(429, "rate_limit_exceeded", "The upstream load of this group is saturated"),
            at_once=True,
        ),
        Fault(
            "relay_500",
            "500 with the error of a relay",
            reply=_relay_error(500, "do_request_failed", "upstream error: do request failed"),
        ),
        # The connection.
        Fault("hang", "never answers", conduct=conducts.hang),
        Fault("slow_drip", "200, then white space now and then for ever", conduct=conducts.slow_drip),
        Fault("hangup_before", "closes without an answer", conduct=conducts.hangup_before),
        Fault("hangup_mid", "closes in the middle of the body", conduct=conducts.hangup_mid),
        Fault("huge_body", "an answer of more than 128 MiB", conduct=conducts.huge_body),
        # 200 with a body that is no protocol.
        Fault("gzip_bomb", "200 kB of gzip that hold 200 MiB of zeros", reply=_gzip_bomb),
        Fault("deep_json", "lists nested 100,000 deep", reply=_deep_json),
        Fault("cut_json", "JSON that ends in the middle", reply=_cut_json),
        Fault("empty_body", "200 without a body", reply=lambda _: Reply(200, (b"",))),
        Fault("not_json", "200 with an HTML page", reply=_html(200, "Welcome")),
        Fault("error_200", "200 with the error object of a 503", reply=_error_200),
        Fault("json_list", "the answer inside a list", change=changes.rewrites(changes.in_a_list)),
        # Blocked and refused.
        Fault("blocked_prompt", "the prompt is refused", change=changes.blocks_prompt("SAFETY")),
        Fault("safety", "SAFETY", change=changes.ends("SAFETY", "absent", FILTERED)),
        Fault(
            "image_safety", "IMAGE_SAFETY, content without parts", change=changes.ends("IMAGE_SAFETY", "bare", FILTERED)
        ),
        Fault(
            "prohibited",
            "PROHIBITED_CONTENT, no content",
            change=changes.ends("PROHIBITED_CONTENT", "absent", FILTERED),
        ),
        Fault("image_prohibited", "IMAGE_PROHIBITED_CONTENT", change=changes.ends("IMAGE_PROHIBITED_CONTENT", "bare")),
        Fault("blocklist", "BLOCKLIST", change=changes.ends("BLOCKLIST", "absent")),
        Fault("spii", "SPII: personal data", change=changes.ends("SPII", "absent")),
        *(
            Fault(
                name.lower(), f"{name}; in chat a refusal", change=changes.ends(name, "absent"), dialects=(NATIVE, CHAT)
            )
            for name in ("RECITATION", "IMAGE_RECITATION", "LANGUAGE", "ESCALATION", "PUP_LIMITED_DISABLED")
        ),
        # No picture.
        Fault("no_image", "NO_IMAGE, content without parts", change=changes.ends("NO_IMAGE", "bare")),
        Fault("image_other", "IMAGE_OTHER, no content", change=changes.ends("IMAGE_OTHER", "absent")),
        Fault("other", "OTHER, no content", change=changes.ends("OTHER", "absent")),
        Fault(
            "malformed_response", "MALFORMED_RESPONSE, no content", change=changes.ends("MALFORMED_RESPONSE", "absent")
        ),
        Fault("empty_parts", "an answer without any part", change=changes.ends("STOP", "empty")),
        Fault("empty_candidates", "the list of results is empty", change=changes.rewrites(changes.without_results)),
        Fault("null_candidates", "the list of results is null", change=changes.rewrites(changes.null_results)),
        Fault(
            "text_only",
            "words and no picture",
            change=changes.says("STOP", "I cannot draw that, but I can describe it."),
            dialects=(NATIVE, CHAT),
        ),
        Fault(
            "max_tokens",
            "MAX_TOKENS and cut words",
            change=changes.says("MAX_TOKENS", "Here is the pic"),
            dialects=(NATIVE, CHAT),
        ),
        Fault(
            "continuation",
            "CONTINUATION: it would go on",
            change=changes.says("CONTINUATION", "Here is the pic"),
            dialects=(NATIVE, CHAT),
        ),
        Fault(
            "unknown_finish",
            "a finish reason of the future",
            change=changes.ends("HOLOGRAM_PENDING", "absent"),
            dialects=(NATIVE, CHAT),
        ),
        # Pictures that must not be kept.
        Fault("truncated_b64", "base64 that is cut", change=changes.draws(spell=changes.cut_base64)),
        Fault("bad_b64", "characters outside the alphabet", change=changes.draws(spell=changes.bad_base64)),
        Fault("empty_b64", "a picture of no bytes", change=changes.draws(spoil=changes.no_bytes)),
        Fault("truncated_png", "good base64 of a cut picture", change=changes.draws(spoil=changes.cut_picture)),
        Fault("not_an_image", "HTML bytes as a picture", change=changes.draws(spoil=changes.html_bytes)),
        Fault("svg", "an SVG with a script", change=changes.draws(spoil=changes.svg_bytes, mime_type="image/svg+xml")),
        Fault("huge_dimensions", "a PNG bomb of 20000x20000", change=changes.draws(spoil=changes.huge_dimensions)),
        Fault("long_clip", "a clip of 6 seconds", change=changes.finals(changes.lengthens), dialects=(CHAT,)),
        Fault("one_bad", "the last of several pictures is cut", change=changes.spoils_one),
        # Unusual answers that a client must cope with.
        Fault("one_less", "one picture less than was asked for", change=changes.brings_one_less),
        Fault("two_images", "twice as many pictures as were asked for", change=changes.doubles),
        Fault("wrong_mime", "claims image/png, bytes are JPEG", change=changes.paints("JPEG", "image/png")),
        Fault("jpeg", "an honest JPEG", change=changes.paints("JPEG", "image/jpeg")),
        Fault("webp", "an honest WebP", change=changes.paints("WEBP", "image/webp")),
        Fault("wrong_size", "half the width and height", change=changes.finals(changes.halves)),
        Fault("urlsafe_b64", "base64 with - and _", change=changes.draws(spell=changes.urlsafe_base64)),
        Fault("extra_fields", "fields that no documentation names", change=changes.rewrites(changes.with_extra_fields)),
        Fault(
            "missing_role",
            "an answer without a role",
            change=changes.rewrites(changes.without_role),
            dialects=(NATIVE, CHAT),
        ),
        Fault(
            "snake_case",
            "inline_data and mime_type",
            change=changes.rewrites(changes.other_spelling),
            dialects=(NATIVE,),
        ),
        Fault(
            "thought_image_first",
            "a thought picture before the final one",
            change=changes.thinks_first,
            dialects=(NATIVE,),
        ),
        Fault("all_thought", "two pictures, both thoughts", change=changes.only_thinks, dialects=(NATIVE,)),
        Fault(
            "search_script",
            "a script in the search entry of a grounded answer",
            change=changes.adds_script_to_search,
            dialects=(NATIVE,),
        ),
        # Streams; without one they still mean something.
        Fault(
            "no_finish", "no finish reason; a stream just ends", change=changes.ends_silently, dialects=(NATIVE, CHAT)
        ),
        Fault(
            "breaks_off", "an error object where the picture should be; a stream then closes", change=changes.breaks_off
        ),
        Fault("noise", "white space before the JSON; in a stream comments and blank lines", change=changes.makes_noise),
    )
}

_IN_PROMPT = re.compile(r"\[fault:(\w+?)(?:x(\d+))?\]")
_LATENCY = re.compile(r"\[latency:(\d+(?:\.\d+)?)\]")
_FORM = re.compile(r"\[form:(\w+)\]")


def fault_in_prompt(prompt: str, occurrence: int, dialect: Dialect) -> Fault | None:
    """The fault that a prompt names, for its n-th request (from 1); raises Refusal for one that there is not."""
    found = _IN_PROMPT.search(prompt)
    if found is None:
        return None
    name, times = found.groups()
    if name not in FAULTS:
        raise dialect.refuse_word(f"The emulator knows no fault {name!r}.")
    if dialect.name not in FAULTS[name].dialects:
        raise dialect.refuse_word(f"There is no fault {name!r} in the protocol {dialect.name!r}.")
    return FAULTS[name] if times is None or occurrence <= int(times) else None


def form_in_prompt(prompt: str, dialect: Dialect) -> str:
    """The form that a prompt names, or nothing; raises Refusal for one that there is not."""
    found = _FORM.search(prompt)
    if found is None:
        return ""
    fitting = {NATIVE: TEXT_FORMS, CHAT: FORMS, IMAGES: WITH_ADDRESS}[dialect.name]
    if found[1] not in fitting:
        raise dialect.refuse_word(f"There is no form {found[1]!r} in the protocol {dialect.name!r}.")
    return found[1]


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


def draw_fault(rates: dict[str, float], rng: random.Random, dialect: Dialect) -> Fault | None:
    """A fault by its rate, or none, also where the protocol has no such fault."""
    point = rng.random()
    for name, share in rates.items():
        point -= share
        if point < 0:
            return FAULTS[name] if dialect.name in FAULTS[name].dialects else None
    return None
