"""Answers of a broken or hostile server, in no protocol at all."""

import gzip
import json

from tests.upstream.server import Answer, Cut, Hang, Pause, Repeat, Reset, Step

MIB = 2**20


def hang() -> Answer:
    """The request is read, and nothing ever comes."""
    return Answer(None, (Hang(),))


def hang_in_body(start: bytes = b"{") -> Answer:
    """200, a beginning, then nothing."""
    return Answer(200, (start, Hang()))


def close() -> Answer:
    """The connection is closed instead of an answer."""
    return Answer(None, (Cut(),))


def reset() -> Answer:
    """The connection is reset instead of an answer."""
    return Answer(None, (Reset(),))


def drip(block: bytes = b" ", *, pause_s: float = 0.05, times: int = 100_000) -> Answer:
    """200, then a byte now and then, in effect for ever."""
    steps: list[Step] = [block, Pause(pause_s)]
    return Answer(200, tuple(steps * times))


def redirect(location: str, status: int = 302) -> Answer:
    """3xx to an address."""
    return Answer(status, headers=(("Location", location),), content_type="text/html")


def gzip_bomb(megabytes: int = 200) -> Answer:
    """A small gzip body of very many zeros."""
    member = gzip.compress(bytes(MIB), 9)
    return Answer(200, (member * megabytes), headers=(("Content-Encoding", "gzip"),))


def zeros(megabytes: int = 200, *, chunked: bool = False) -> Answer:
    """A huge body of zeros, with its true length or in chunks."""
    steps: tuple[Step, ...] = (Repeat(bytes(MIB), megabytes),)
    return Answer(200, (*steps, Pause(0)) if chunked else steps)


def unknown_encoding() -> Answer:
    """A body compressed by something that nobody asked for."""
    return Answer(200, b"\x1b\x00", headers=(("Content-Encoding", "br"),))


def html(status: int = 200, title: str = "Welcome") -> Answer:
    """A page where JSON should be."""
    page = f"<!doctype html><title>{title}</title><h1>{title}</h1>"
    return Answer(status, page.encode(), content_type="text/html; charset=utf-8")


def empty(status: int = 200) -> Answer:
    """No body."""
    return Answer(status, b"")


def raw(body: bytes, status: int = 200, content_type: str = "application/json") -> Answer:
    """These very bytes."""
    return Answer(status, body, content_type=content_type)


def deep_json(levels: int = 100_000) -> Answer:
    """Lists in lists."""
    return Answer(200, b"[" * levels + b"]" * levels)


def relay_error(status: int, code: str = "do_request_failed", message: str = "upstream error") -> Answer:
    """The error of a relay of the new-api family, which it sends on every path."""
    text = f"{message} (request id: 20261121)"
    body = {"error": {"message": text, "type": "new_api_error", "param": "", "code": code}}
    return Answer(status, json.dumps(body).encode())
