"""Fixtures of replies: one JSON file for each case, and a reply in the terms that these files use."""

import dataclasses
import json
from pathlib import Path

from generations.outcomes import OUTCOMES
from generations.wire.reply import InlineImage, ParsedReply


def paths(folder: str) -> list[Path]:
    return sorted((Path(__file__).parent / "fixtures" / folder).glob("*.json"))


def load(path: Path) -> tuple[dict, bytes]:
    """A case, and the bytes of its body."""
    case = json.loads(path.read_text())
    return case, case["body_text"].encode() if "body_text" in case else json.dumps(case["body"]).encode()


def assert_as_expected(reply: ParsedReply, expected: dict) -> None:
    """Compare what the fixture names; a reply has a picture or an outcome, never both."""
    found = simplified(reply)
    expected = dict(expected)
    if isinstance(expected.get("error"), dict):
        error = expected.pop("error")
        assert {name: found["error"][name] for name in error} == error
    assert {name: found[name] for name in expected} == expected
    assert reply.outcome is None or reply.outcome in OUTCOMES
    assert (reply.outcome is None) == (reply.chosen is not None)


def simplified(reply: ParsedReply) -> dict:
    chosen, error = reply.chosen, reply.error
    same_by_name = (
        *("outcome", "text", "text_signature", "thoughts", "revised_prompt", "finish_reason", "block_reason"),
        *("usage", "response_id", "model_version", "retry_after_s"),
    )
    return {name: getattr(reply, name) for name in same_by_name} | {
        "images": len(reply.images),
        "drafts": sum(image.thought for image in reply.images),
        "pictures": [shown(picture) for picture in reply.pictures],
        "links": list(reply.links),
        "chosen": chosen and {**shown(chosen), "thought": chosen.thought, "signature": chosen.thought_signature},
        "safety_ratings": [list(dataclasses.astuple(rating)) for rating in reply.safety_ratings],
        "grounding": reply.grounding and json.loads(json.dumps(dataclasses.asdict(reply.grounding))),
        "error": error and {"code": error.code, "status": error.status, "message": error.message},
    }


def shown(image: InlineImage) -> dict:
    return {"mime": image.mime_type_claimed, "data": bytes(image.data).decode()}
