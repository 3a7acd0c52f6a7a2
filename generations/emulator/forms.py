"""Where an answer in words keeps its pictures: the forms that relays use, each chosen by [form:NAME] in a prompt."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson


class Item(NamedTuple):
    """A picture or clip of an answer: base64 and address are marks."""

    mime_type: str
    data: str
    address: str

    @property
    def uri(self) -> str:
        return f"data:{self.mime_type};base64,{self.data}"


FORMS = {
    "json": "strict JSON in the text: mime_type and b64, or images with several (the usual form of chat completions)",
    "fenced": "the JSON inside a fenced code block, with words before and after",
    "stray": "the JSON between words that have braces of their own",
    "markdown": "Markdown: ![image](data:...)",
    "data_uri": "bare data URIs, one per line",
    "url": "Markdown with an address of the emulator: ![image](http://...)",
    "bare_url": "the address alone",
    "images": "message.images with data URIs, and a caption as the text (chat completions only)",
    "parts": "a list of text and image_url parts as the content (chat completions only)",
}
TEXT_FORMS = tuple(FORMS)[:7]
WITH_ADDRESS = frozenset({"url", "bare_url"})


def write_text(form: str, items: Sequence[Item], *, as_list: bool, caption: str = "") -> str:
    """The text of an answer in one of TEXT_FORMS."""
    match form:
        case "fenced":
            return f"Here you are:\n\n```json\n{_json(items, as_list=as_list)}\n```\n\nShall I change anything?"
        case "stray":
            return f"As {{asked}} here it is: {_json(items, as_list=as_list)} I hope it fits }} your {{plans}}."
        case "markdown":
            return "\n\n".join([caption] * bool(caption) + [f"![image]({item.uri})" for item in items])
        case "data_uri":
            return "\n".join(item.uri for item in items)
        case "url":
            return "\n\n".join([caption] * bool(caption) + [f"![image]({item.address})" for item in items])
        case "bare_url":
            return "\n".join(item.address for item in items)
        case _:
            return _json(items, as_list=as_list)


def write_message(form: str, items: Sequence[Item], *, as_list: bool, caption: str) -> dict[str, Any]:
    """The content, and where the form has it the images, of an assistant's message."""
    linked = [{"type": "image_url", "image_url": {"url": item.uri}} for item in items]
    if form == "images":
        return {"content": caption, "images": [part | {"index": index} for index, part in enumerate(linked)]}
    if form == "parts":
        return {"content": [{"type": "text", "text": caption}, *linked]}
    return {"content": write_text(form, items, as_list=as_list, caption=caption)}


def _json(items: Sequence[Item], *, as_list: bool) -> str:
    payloads = [{"mime_type": item.mime_type, "b64": item.data} for item in items]
    return orjson.dumps({"images": payloads} if as_list else payloads[0]).decode()
