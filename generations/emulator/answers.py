"""The answer of generateContent: its plan, which faults may change, and its JSON."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from generations.emulator.offer import IMAGE_TOKENS, pixels
from generations.emulator.painter import Wish, describe
from generations.emulator.protocol import GenerateRequest
from generations.emulator.studio import StoredPicture

JSON_TYPE = "application/json; charset=UTF-8"
HTML_TYPE = "text/html; charset=UTF-8"
SAFETY_CATEGORIES = (
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
)
THOUGHT_TOKENS = 240
SEARCH_TOKENS = 25


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; the body is bytes and pictures, the latter sent as base64 without ever being whole in memory."""

    status: int
    body: tuple[bytes | StoredPicture, ...]
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> int:
        """Bytes on the wire."""
        return sum(len(part) if isinstance(part, bytes) else -(-part.size // 3) * 4 for part in self.body)

    def blocks(self) -> Iterator[bytes]:
        """The body in pieces."""
        for part in self.body:
            if isinstance(part, bytes):
                yield part
            else:
                yield from (base64.b64encode(block) for block in part.blocks())


def json_reply(status: int, value: Any) -> Reply:
    """A JSON answer without pictures."""
    return Reply(status, (orjson.dumps(value),))


@dataclass(frozen=True)
class Drawing:
    """A picture of an answer; spoil changes its bytes, spell replaces the standard base64."""

    wish: Wish
    mime_type: str
    thought: bool = False
    spoil: Callable[[bytes], bytes] | None = None
    spell: Callable[[bytes], str] | None = None

    def encode(self, picture: StoredPicture) -> str:
        """The text for the answer, all at once."""
        data = self.spoil(picture.read()) if self.spoil else picture.read()
        return self.spell(data) if self.spell else base64.b64encode(data).decode()


@dataclass
class Plan:
    """What an answer will contain."""

    request: GenerateRequest
    texts: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    finish_reason: str = "STOP"
    finish_message: str | None = None
    block_reason: str | None = None
    content: str = "parts"  # or "empty" (an empty list), "bare" (a role only), "absent"
    rewrite: Callable[[dict], Any] | None = None

    def stop(self, finish_reason: str, *, content: str, message: str | None = None) -> None:
        """End without a picture."""
        self.finish_reason, self.finish_message, self.content = finish_reason, message, content
        self.drawings.clear()


def plan_answer(request: GenerateRequest) -> Plan:
    """The plan of an undisturbed answer."""
    plan = Plan(request)
    wish = wish_for(request)
    if not request.wants_image:
        plan.texts.append(f"A picture of this could be: {describe(wish)} Ask for the IMAGE modality to receive it.")
        return plan
    if request.wants_text:
        plan.texts.append(describe(wish))
    if request.include_thoughts:
        plan.drawings.append(draft_of(wish))
    plan.drawings.append(Drawing(wish, wish.mime_type))
    return plan


def wish_for(request: GenerateRequest) -> Wish:
    """The picture that a request asks for; without a seed the prompt decides."""
    seed = request.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(request.prompt.encode()).digest()[:4]) >> 1
    width, height = pixels(request.ratio, request.size)
    return Wish(request.prompt, seed, width, height)


def draft_of(wish: Wish) -> Drawing:
    """An interim picture, as a model thinks aloud: another composition, half as large, JPEG."""
    draft = replace(wish.variant(), width=wish.width // 2, height=wish.height // 2, format="JPEG")
    return Drawing(draft, draft.mime_type, thought=True)


def compose(plan: Plan, pictures: list[StoredPicture | str]) -> Reply:
    """The HTTP answer for a plan, with the picture or the finished base64 text of each of its drawings."""
    nonce = secrets.token_hex(8)
    marks = [f"picture-{index}-{nonce}" for index in range(len(pictures))]
    data = [mark if isinstance(item, StoredPicture) else item for mark, item in zip(marks, pictures, strict=True)]
    message = build_message(plan, data)
    rest = orjson.dumps(plan.rewrite(message) if plan.rewrite else message)
    body: list[bytes | StoredPicture] = []
    for mark, item in zip(marks, pictures, strict=True):
        if isinstance(item, StoredPicture) and mark.encode() in rest:
            before, rest = rest.split(mark.encode(), 1)
            body += [before, item]
    return Reply(200, (*body, rest))


def build_message(plan: Plan, data: list[str]) -> dict:
    """The GenerateContentResponse, data being the base64 of each drawing."""
    message: dict[str, Any] = {}
    if plan.block_reason:
        message["promptFeedback"] = {"blockReason": plan.block_reason, "safetyRatings": _safety_ratings()}
    else:
        message["candidates"] = [_build_candidate(plan, data)]
    return message | {
        "usageMetadata": _count_tokens(plan),
        "modelVersion": plan.request.model.id,
        "responseId": secrets.token_urlsafe(16),
    }


def _build_candidate(plan: Plan, data: list[str]) -> dict:
    candidate: dict[str, Any] = {"index": 0, "finishReason": plan.finish_reason}
    parts = _build_parts(plan, data) if plan.content == "parts" else []
    match plan.content:
        case "parts":
            candidate["content"] = {"role": "model", "parts": parts}
        case "empty":
            candidate["content"] = {"role": "model", "parts": []}
        case "bare":
            candidate["content"] = {"role": "model"}
    if plan.finish_message:
        candidate["finishMessage"] = plan.finish_message
    if plan.request.grounded:
        candidate["groundingMetadata"] = _grounding(plan.request, parts)
    return candidate | {"safetyRatings": _safety_ratings()}


def _build_parts(plan: Plan, data: list[str]) -> list[dict]:
    pictures = [_image_part(drawing, text) for drawing, text in zip(plan.drawings, data, strict=True)]
    thoughts = [{"text": "**Composing the picture**\n\nLight first, then shapes.\n", "thought": True}]
    drafts = [part for part in pictures if part.get("thought")]
    return [
        *(thoughts if plan.request.include_thoughts and plan.drawings else []),
        *drafts,
        *({"text": text} for text in plan.texts),
        *(part for part in pictures if not part.get("thought")),
    ]


def _image_part(drawing: Drawing, data: str) -> dict:
    part: dict[str, Any] = {"inlineData": {"mimeType": drawing.mime_type, "data": data}}
    if drawing.thought:
        return part | {"thought": True}
    signed = hashlib.sha512(repr(drawing.wish).encode()).digest() * 3
    return part | {"thoughtSignature": base64.b64encode(signed).decode()}


def _count_tokens(plan: Plan) -> dict:
    """usageMetadata; an answer without parts has no candidate tokens, a blocked prompt no thoughts either."""
    request = plan.request
    prompt = {"TEXT": max(1, len(request.prompt) // 4), "IMAGE": request.input_images * 1120}
    usage: dict[str, Any] = {
        "promptTokenCount": sum(prompt.values()),
        "promptTokensDetails": _token_details(prompt),
    }
    total = sum(prompt.values())
    finals = sum(not drawing.thought for drawing in plan.drawings)
    answer = {"IMAGE": finals * IMAGE_TOKENS[request.size], "TEXT": sum(len(text) // 4 for text in plan.texts)}
    if plan.content == "parts" and not plan.block_reason:
        usage |= {
            "candidatesTokenCount": sum(answer.values()),
            "candidatesTokensDetails": _token_details(answer),
        }
        total += sum(answer.values())
    if not plan.block_reason and (request.thinks or plan.content != "parts"):
        usage["thoughtsTokenCount"] = THOUGHT_TOKENS
        total += THOUGHT_TOKENS
    if request.grounded and not plan.block_reason:
        usage["toolUsePromptTokenCount"] = SEARCH_TOKENS
        total += SEARCH_TOKENS
    return usage | {"totalTokenCount": total}


def _token_details(counts: dict[str, int]) -> list[dict]:
    return [{"modality": modality, "tokenCount": count} for modality, count in counts.items() if count]


def _safety_ratings() -> list[dict]:
    return [{"category": category, "probability": "NEGLIGIBLE"} for category in SAFETY_CATEGORIES]


def _grounding(request: GenerateRequest, parts: list[dict]) -> dict:
    """Search evidence; it supports the first text that is not a thought."""
    query = " ".join(request.prompt.split()[:8])
    texts = ((index, part.get("text")) for index, part in enumerate(parts) if not part.get("thought"))
    spoken = [(index, text) for index, text in texts if text][:1]
    segments = [
        {"partIndex": index, "startIndex": 0, "endIndex": len(text.encode()), "text": text} for index, text in spoken
    ]
    image = {
        "sourceUri": "https://example.com/gallery",
        "imageUri": "https://example.com/gallery/1.png",
        "title": "Example gallery",
        "domain": "example.com",
    }
    return {
        "webSearchQueries": [query],
        "imageSearchQueries": [query],
        "searchEntryPoint": {"renderedContent": '<div class="chip"><a href="https://example.com/">example</a></div>'},
        "groundingChunks": [
            {"web": {"uri": "https://example.com/source", "title": "example.com", "domain": "example.com"}},
            {"image": image},
        ],
        "groundingSupports": [
            {"segment": segment, "groundingChunkIndices": [0], "confidenceScores": [0.9]} for segment in segments
        ],
        "retrievalMetadata": {"googleSearchDynamicRetrievalScore": 0.5},
    }
