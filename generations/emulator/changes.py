"""What can go wrong inside an answer: changes of its plan, of its pictures' bytes, of their base64, of its JSON."""

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from generations.emulator.answers import Drawing, Plan, draft_of
from generations.emulator.protocol import camel_to_snake

BOMB_SIDE = 20_000
LONG_CLIP_S = 6.0
SEARCH_SCRIPT = (
    "<script>document.title = 'not sandboxed'</script><img src=x onerror=\"document.title='not sandboxed'\">"
)

Change = Callable[[Plan], None]


# The end of an answer


def ends(finish_reason: str, content: str, message: str | None = None) -> Change:
    """End without a picture; content as in Plan."""

    def change(plan: Plan) -> None:
        plan.texts.clear()
        plan.stop(finish_reason, content=content, message=message)

    return change


def says(finish_reason: str, text: str) -> Change:
    """End with words only."""

    def change(plan: Plan) -> None:
        plan.texts = [text]
        plan.stop(finish_reason, content="parts")

    return change


def blocks_prompt(reason: str) -> Change:
    """Refuse the prompt before anything is made."""

    def change(plan: Plan) -> None:
        plan.texts.clear()
        plan.drawings.clear()
        plan.block_reason = reason

    return change


def ends_silently(plan: Plan) -> None:
    plan.finish_reason = None


def breaks_off(plan: Plan) -> None:
    plan.breaks_off = True


def makes_noise(plan: Plan) -> None:
    plan.noise = True


# Pictures


def finals(redraw: Callable[[Drawing], Drawing]) -> Change:
    """Change every picture of the answer that is not a thought."""

    def change(plan: Plan) -> None:
        plan.drawings = [drawing if drawing.thought else redraw(drawing) for drawing in plan.drawings]

    return change


def draws(**changes: Any) -> Change:
    """Change fields of every picture that is not a thought."""
    return finals(lambda drawing: replace(drawing, **changes))


def paints(image_format: str, claimed: str) -> Change:
    """Another format of still pictures; a clip keeps its own and only claims another type."""

    def redraw(drawing: Drawing) -> Drawing:
        if drawing.wish.seconds:
            return replace(drawing, mime_type="image/gif" if drawing.wish.format == "MP4" else "video/mp4")
        return replace(drawing, wish=replace(drawing.wish, format=image_format), mime_type=claimed)

    return finals(redraw)


def halves(drawing: Drawing) -> Drawing:
    wish = drawing.wish
    return replace(drawing, wish=replace(wish, width=wish.width // 2, height=wish.height // 2))


def lengthens(drawing: Drawing) -> Drawing:
    """A clip that lasts too long; a still picture stays what it is."""
    wish = drawing.wish
    return replace(drawing, wish=replace(wish, seconds=LONG_CLIP_S)) if wish.seconds else drawing


def spoils_one(plan: Plan) -> None:
    """The last picture is cut."""
    if plan.finals:
        last = plan.finals[-1]
        plan.drawings[last] = replace(plan.drawings[last], spoil=cut_picture)


def brings_one_less(plan: Plan) -> None:
    if plan.finals:
        del plan.drawings[plan.finals[-1]]
        if not plan.drawings:
            ends("NO_IMAGE", "bare")(plan)


def doubles(plan: Plan) -> None:
    plan.drawings += [replace(plan.drawings[i], wish=plan.drawings[i].wish.variant()) for i in plan.finals]


def thinks_first(plan: Plan) -> None:
    plan.drawings = [draft_of(drawing.wish) for drawing in plan.drawings[-1:]] + plan.drawings


def only_thinks(plan: Plan) -> None:
    thinks_first(plan)
    draws(thought=True)(plan)


def adds_script_to_search(plan: Plan) -> None:
    plan.search_entry_extra = SEARCH_SCRIPT


# The JSON; `results` names the list of candidates, choices or data


def rewrites(rewrite: Callable[[Any, str], Any]) -> Change:
    def change(plan: Plan) -> None:
        plan.rewrite = rewrite

    return change


def in_a_list(value: Any, results: str) -> list:
    return [value]


def without_results(value: Any, results: str) -> dict:
    return value | {results: []}


def null_results(value: Any, results: str) -> dict:
    return value | {results: None}


def other_spelling(value: Any, results: str) -> Any:
    return camel_to_snake(value)


def without_role(value: Any, results: str) -> dict:
    for result in value.get(results) or []:
        for holder in ("content", "message", "delta"):
            result.get(holder, {}).pop("role", None)
    return value


def with_extra_fields(value: Any, results: str) -> dict:
    for result in value.get(results) or []:
        result["avgLogprobs"] = -0.1
        if "content" in result and result["content"].get("parts"):
            result["content"]["parts"].append({"text": "", "futurePart": {"kind": "HOLOGRAM"}})
    return value | {"modelStatus": {"modelStage": "PREVIEW"}, "futureField": [{"nested": None}]}


# Bytes and base64


def huge_dimensions(_: bytes) -> bytes:
    """A PNG of 400 megapixels, one bit each, in some 50 kB."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8)
    pixels = b"".join(deflate.compress(row) for _ in range(BOMB_SIDE)) + deflate.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    framed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def html_bytes(_: bytes) -> bytes:
    return b"<!DOCTYPE html><html><script>document.title = 'not a picture'</script></html>"


def svg_bytes(_: bytes) -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>void 0</script></svg>'


def no_bytes(_: bytes) -> bytes:
    return b""


def cut_picture(data: bytes) -> bytes:
    return data[: len(data) * 3 // 5]


def cut_base64(data: bytes) -> str:
    """Two thirds of the text and one character more: no whole number of bytes."""
    text = base64.b64encode(data).decode()
    return text[: len(text) // 6 * 4 + 1]


def bad_base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return f"{text[:1000]}!*#${text[1004:]}"


def urlsafe_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
