"""The Gemini-native answer: candidates and parts, usage, search evidence, whole or as a stream."""

import secrets
from typing import Any

from generations.emulator.answers import Marks, Plan, Reply, json_reply
from generations.emulator.dialect import Dialect, Event
from generations.emulator.forms import Item, write_text
from generations.emulator.grounding import find_evidence
from generations.emulator.offer import IMAGE_TOKENS
from generations.emulator.protocol import RPC, bad_request, error_body, not_found, unauthenticated

INPUT_IMAGE_TOKENS = 1120
THOUGHT_TOKENS = {"MINIMAL": 60, "LOW": 120, "MEDIUM": 240, "HIGH": 480}
USUAL_THOUGHT_TOKENS = 240
SEARCH_TOKENS = 25
SAFETY_CATEGORIES = (
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
)
ERRORS = {
    402: ("FAILED_PRECONDITION", "Your prepayment credits are depleted."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    408: ("DEADLINE_EXCEEDED", "Request timed out."),
    409: ("ABORTED", "The operation was aborted."),
    422: ("INVALID_ARGUMENT", "The request cannot be processed."),
    499: ("CANCELLED", "The operation was cancelled."),
    500: ("INTERNAL", "An internal error has occurred. Please retry or report in the developer forum."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "Deadline expired."),
}
STILL_THINKING = 0.7  # the share of the latency in which thoughts arrive


class Native(Dialect):
    """generateContent and streamGenerateContent."""

    name = "native"
    results = "candidates"
    opening = b'{"candidates":[{"content":{"role":"model","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBOR'

    def error(self, status: int, message: str = "") -> Reply:
        match status:
            case 400:
                return json_reply(
                    400, bad_request(("contents", message or "Request contains an invalid argument.")).body
                )
            case 401:
                return json_reply(401, unauthenticated().body)
            case 404:
                return json_reply(404, not_found(message or "Requested entity was not found.").body)
        word, usual = ERRORS[status]
        return json_reply(status, error_body(status, word, message or usual))

    def rate_limited(self, *, retry_s: float | None, quota: bool = False) -> Reply:
        if retry_s is None and not quota:
            message = "Resource has been exhausted (e.g. check quota)."
            return json_reply(429, error_body(429, "RESOURCE_EXHAUSTED", message))
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
            "quotaId": f"GenerateRequestsPer{'Day' if quota else 'Minute'}PerProjectPerModel",
            "quotaDimensions": {"location": "global"},
        }
        details: list[dict] = [{"@type": f"{RPC}.QuotaFailure", "violations": [violation]}]
        message = "You exceeded your current quota."
        if retry_s is not None:
            details.append({"@type": f"{RPC}.RetryInfo", "retryDelay": f"{retry_s:g}s"})
            message += f" Please retry in {retry_s:g}s."
        return json_reply(429, error_body(429, "RESOURCE_EXHAUSTED", message, *details))

    def refuse_word(self, message: str) -> Exception:
        return bad_request(("contents", message))

    def answer(self, plan: Plan, marks: Marks) -> tuple[int, dict]:
        message: dict[str, Any] = {}
        if plan.block_reason:
            message["promptFeedback"] = {"blockReason": plan.block_reason, "safetyRatings": _safety_ratings()}
        else:
            parts = [part for _, part in _build_parts(plan, marks)]
            message["candidates"] = [_build_candidate(plan, parts) | _ending(plan, parts)]
        return 200, message | {"usageMetadata": _count_tokens(plan)} | _identity(plan)

    def events(self, plan: Plan, marks: Marks) -> list[Event]:
        identity = _identity(plan)
        if plan.block_reason:
            return [Event(1.0, self.answer(plan, marks)[1] | identity)]
        timed = _build_parts(plan, marks) if plan.content == "parts" else []
        prompt_only = {"usageMetadata": _count_tokens(plan, answered=False)}
        events = [
            Event(
                due,
                {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]} | prompt_only | identity,
            )
            for due, part in timed
        ]
        last = _build_candidate(plan, [{"text": ""}]) | _ending(plan, [part for _, part in timed])
        return [*events, Event(1.0, {"candidates": [last], "usageMetadata": _count_tokens(plan)} | identity)]


def _identity(plan: Plan) -> dict:
    return {"modelVersion": plan.order.model, "responseId": secrets.token_urlsafe(16)}


def _build_candidate(plan: Plan, parts: list[dict]) -> dict:
    candidate: dict[str, Any] = {"index": 0}
    match plan.content:
        case "parts":
            candidate["content"] = {"role": "model", "parts": parts}
        case "empty":
            candidate["content"] = {"role": "model", "parts": []}
        case "bare":
            candidate["content"] = {"role": "model"}
    return candidate


def _ending(plan: Plan, parts: list[dict]) -> dict:
    """What only the last piece of a candidate carries."""
    ending: dict[str, Any] = {}
    if plan.finish_reason is not None:
        ending["finishReason"] = plan.finish_reason
    if plan.finish_message:
        ending["finishMessage"] = plan.finish_message
    if plan.order.grounded:
        ending["groundingMetadata"] = find_evidence(plan, parts)
    return ending | {"safetyRatings": _safety_ratings()}


def _build_parts(plan: Plan, marks: Marks) -> list[tuple[float, dict]]:
    """The parts in their order, each with the share of the latency after which a stream brings it."""
    drafts = [index for index, drawing in enumerate(plan.drawings) if drawing.thought]
    thoughts: list[dict] = []
    for number in range(max(len(plan.thoughts) if plan.drawings else 0, len(drafts))):
        if number < len(plan.thoughts) and plan.drawings:
            thoughts.append({"text": plan.thoughts[number], "thought": True})
        if number < len(drafts):
            thoughts.append(_image_part(plan, marks, drafts[number]) | {"thought": True})
    finals: list[dict]
    if plan.order.form and plan.finals:
        items = [Item(plan.drawings[i].mime_type, marks.data(i), marks.address(i)) for i in plan.finals]
        finals = [{"text": write_text(plan.order.form, items, as_list=len(items) > 1)}]
    else:
        finals = [
            _image_part(plan, marks, index) | {"thoughtSignature": marks.signature(index)} for index in plan.finals
        ]
    timed = [(STILL_THINKING * (number + 1) / len(thoughts), part) for number, part in enumerate(thoughts)]
    cut = plan.order.streamed and not plan.order.grounded  # evidence points into a whole text
    for text in plan.texts:
        end = (text.find(" ") + 1 if cut else 0) or len(text)
        timed += [(0.85, {"text": piece}) for piece in (text[:end], text[end:]) if piece]
    return [*timed, *((1.0, part) for part in finals)]


def _image_part(plan: Plan, marks: Marks, index: int) -> dict:
    return {"inlineData": {"mimeType": plan.drawings[index].mime_type, "data": marks.data(index)}}


def _count_tokens(plan: Plan, *, answered: bool = True) -> dict:
    """usageMetadata; an answer without parts has no candidate tokens, a blocked prompt no thoughts either."""
    order = plan.order
    prompt = {"TEXT": max(1, len(order.prompt) // 4), "IMAGE": order.input_images * INPUT_IMAGE_TOKENS}
    usage: dict[str, Any] = {
        "promptTokenCount": sum(prompt.values()),
        "promptTokensDetails": _token_details(prompt),
    }
    total = sum(prompt.values())
    if not answered:
        return usage | {"totalTokenCount": total}
    answer = {
        "IMAGE": len(plan.finals) * IMAGE_TOKENS[order.size],
        "TEXT": sum(len(text) // 4 for text in plan.texts),
    }
    if plan.content == "parts" and not plan.block_reason:
        usage |= {
            "candidatesTokenCount": sum(answer.values()),
            "candidatesTokensDetails": _token_details(answer),
        }
        total += sum(answer.values())
    thinks = order.include_thoughts or order.thinking not in (None, "MINIMAL")
    if not plan.block_reason and (thinks or plan.content != "parts"):
        usage["thoughtsTokenCount"] = THOUGHT_TOKENS.get(order.thinking or "", USUAL_THOUGHT_TOKENS)
        total += usage["thoughtsTokenCount"]
    if order.grounded and not plan.block_reason:
        usage["toolUsePromptTokenCount"] = SEARCH_TOKENS
        total += SEARCH_TOKENS
    return usage | {"totalTokenCount": total}


def _token_details(counts: dict[str, int]) -> list[dict]:
    return [{"modality": modality, "tokenCount": count} for modality, count in counts.items() if count]


def _safety_ratings() -> list[dict]:
    return [{"category": category, "probability": "NEGLIGIBLE"} for category in SAFETY_CATEGORIES]
