"""The receipt of one picture: what was asked and came, every call and every movement of money, signed.

It has no prompt, only the prompt's SHA-256: a receipt is passed on as a proof of payment to people who are not to read
what somebody wrote, and whoever has both can still show that they belong together. For the same reason it has digests
of the styles, and neither names, addresses nor the reasons of refunds; accounts and keys are ids.

A wish for several pictures is held and captured as one. Each picture's part is what its receipt says it cost; parts of
one capture and its refunds differ by one micro-USD at most and add up to them.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.errors import NotFound
from accounts.ledger import format_usd
from accounts.models import Price, Transfer, User
from gallery.models import Image, ReviewStep
from gallery.storage import is_whole
from generations.models import Attempt, Generation, Output
from generations.spec import GenerationSpec, canonical_json

TYPE = "plantain.receipt/1"
ALGORITHM = "HMAC-SHA256"
UNDER_WAY = timedelta(minutes=1)  # a movement has its time before its transaction ends, and the receipt sees it after
FREE_TEXT = ("styles",)  # parameters in somebody's own words


@dataclass(frozen=True)
class Cost:
    """What one picture cost in micro-USD."""

    charged: int
    refunded: int

    @property
    def net(self) -> int:
        return self.charged - self.refunded


# --- What it says --------------------------------------------------------------------------------


def receipt_of(*, user: User, public_id: UUID | str) -> bytes:
    """The signed receipt of one of the user's own pictures, as JSON. Raises NotFound, also for what no job has made."""
    rows = Image.objects.owned_by(user).select_related(
        *("blob", "output__attempt", "output__generation__price", "output__generation__api_key"),
        "review__decision__reason",
    )
    image = rows.filter(public_id=public_id).first()
    if image is None or not hasattr(image, "output"):
        raise NotFound("There is no receipt of such a picture in your account.")
    return sign(describe(user, image))


def describe(user: User, image: Image) -> dict[str, Any]:
    """What the receipt says, in whole numbers and texts only, so that there is one spelling to be signed."""
    output: Output = image.output
    generation = output.generation
    spec = GenerationSpec.from_canonical(generation.spec)
    moves = list(moves_of(user, generation))
    return {
        "type": TYPE,
        "issuer": settings.SITE_URL,
        "issued_at": _moment(timezone.now()),
        "account": str(user.public_id),
        "image": {
            "id": str(image.public_id),
            "sha256": image.blob.sha256,
            "byte_size": image.blob.byte_size,
            "mime_type": image.blob.mime_type,
            "width": image.blob.width,
            "height": image.blob.height,
            "kind": image.kind,
            "created_at": _moment(image.created_at),
        },
        "generation": {
            "id": str(generation.public_id),
            "source": generation.source,
            "api_key": str(generation.api_key.public_id) if generation.api_key else None,
            "runs": generation.run,
            "created_at": _moment(generation.created_at),
            "started_at": _moment(generation.started_at),
            "finished_at": _moment(generation.finished_at),
            "times_reused": generation.reused_by.count(),
        },
        "asked": _asked(generation, spec),
        "honoured": {"aspect_ratio": image.honours_aspect_ratio, "image_size": image.honours_image_size},
        "delivered_by": output.attempt.number,
        "attempts": [_attempt(attempt) for attempt in generation.attempts.defer("usage", "detail")],
        "price": _price(generation.price),
        "transfers": [_transfer(move) for move in moves],
        "cost": _cost(cost_of(output, moves)),
        "review": {"state": image.review_status, "decision": _decision(image)},
    }


def moves_of(user: User, generation: Generation) -> Iterable[Transfer]:
    """Every movement of the user's money for a job, in its order, each with the hold that it resolves."""
    moves = Transfer.objects.filter(Q(debit__owner=user) | Q(credit__owner=user), reference=str(generation.public_id))
    return moves.select_related("hold", "price").order_by("created_at", "pk")


def cost_of(output: Output, moves: Iterable[Transfer]) -> Cost:
    """One picture's part of what its job moved; a draft of the model's thinking costs nothing."""
    moves = list(moves)
    capture = next((move for move in moves if move.kind == Transfer.Kind.POST), None)
    if capture is None or capture.price is None:
        return Cost(charged=0, refunded=0)
    refunded = sum(move.amount_micros for move in moves if move.refunds_id == capture.pk)
    return part_of(output, captured=capture.amount_micros, refunded=refunded, price=capture.price.amount_micros)


def part_of(output: Output, *, captured: int, refunded: int, price: int | None) -> Cost:
    """One picture's part of a capture at this price and of what was given back of it; amounts in micro-USD."""
    if not captured or not price or output.is_draft:
        return Cost(charged=0, refunded=0)
    pictures = captured // price  # a capture is for whole pictures
    return Cost(charged=_part(captured, pictures, output.index), refunded=_part(refunded, pictures, output.index))


def _part(total: int, pictures: int, index: int) -> int:
    """The part of the picture with this index; the first ones take what does not divide."""
    whole, rest = divmod(total, pictures)
    return whole + (1 if index < rest else 0)


def _asked(generation: Generation, spec: GenerationSpec) -> dict[str, Any]:
    parameters = {name: value for name, value in spec.parameters().items() if name not in FREE_TEXT}
    digests = {f"{name}_sha256": [_digest(text) for text in spec.parameters()[name]] for name in FREE_TEXT}
    return {
        "kind": generation.kind,
        "model": generation.model,
        "prompt_sha256": _digest(generation.prompt),
        **parameters,
        **digests,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "run": attempt.run,
        "slot": attempt.slot,
        "outcome": attempt.outcome,
        "http_status": attempt.http_status,
        "upstream": attempt.upstream,
        "upstream_model": attempt.upstream_model,
        "upstream_request_id": attempt.upstream_request_id or None,
        "elapsed_ms": attempt.elapsed_ms,
        "sent_at": _moment(attempt.sent_at),
    }


def _decision(image: Image) -> dict[str, Any] | None:
    """What the review has decided, by which policy and when; not by whom, and not in which words."""
    review = getattr(image, "review", None)
    return _told_decision(review.decision) if review is not None and review.decision is not None else None


def _told_decision(step: ReviewStep) -> dict[str, Any]:
    return {
        "version": step.version,
        "outcome": step.to_status,
        "reason": step.reason.code if step.reason else None,
        "reason_version": step.reason.version if step.reason else None,
        "policy_version": step.policy_version,
        "is_automated": step.is_automated,
        "decided_at": _moment(step.created_at),
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "id": price.pk,
        "model": price.model,
        "size": price.size,
        "unit": price.unit,
        "amount": format_usd(price.amount_micros),
        "amount_micros": price.amount_micros,
        "currency": price.currency,
        "valid_from": _moment(price.valid_from),
        "is_placeholder": price.is_placeholder,
    }


def _transfer(move: Transfer) -> dict[str, Any]:
    return {
        "id": str(move.pk),
        "kind": move.kind,
        "code": move.code,
        "amount": format_usd(move.amount_micros),
        "amount_micros": move.amount_micros,
        "actor": move.actor or "system",
        "created_at": _moment(move.created_at),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    amounts = {"charged": cost.charged, "refunded": cost.refunded, "net": cost.net}
    texts = {name: format_usd(micros) for name, micros in amounts.items()}
    return texts | {f"{name}_micros": micros for name, micros in amounts.items()} | {"currency": "USD"}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


# --- Signing and checking ------------------------------------------------------------------------


class NotAReceipt(Exception):
    """A file cannot be checked at all: the message says why."""


def sign(receipt: dict[str, Any]) -> bytes:
    """The receipt with its signature by the first key. White space is free; what is signed is its canonical form."""
    key_id = next(iter(settings.RECEIPT_SIGNING_KEYS))
    signature = {"algorithm": ALGORITHM, "key_id": key_id, "value": _signature(receipt, key_id)}
    return orjson.dumps({"receipt": receipt, "signature": signature}, option=orjson.OPT_INDENT_2) + b"\n"


def is_genuine(document: bytes) -> tuple[dict[str, Any], bool]:
    """What a file says, and whether one of our keys has signed just that. Raises NotAReceipt."""
    try:
        envelope = orjson.loads(document)
        receipt, signature = envelope["receipt"], envelope["signature"]
        key_id, value = signature["key_id"], signature["value"]
        is_ours = receipt["type"] == TYPE and signature["algorithm"] == ALGORITHM
    except (ValueError, KeyError, TypeError):
        raise NotAReceipt("This file is not a receipt.") from None
    if not is_ours or not isinstance(key_id, str) or not isinstance(value, str):
        raise NotAReceipt("This receipt is of a kind that this version does not know.")
    if key_id not in settings.RECEIPT_SIGNING_KEYS:
        raise NotAReceipt(f"It names the key {key_id!r}, which is not in RECEIPT_SIGNING_KEYS.")
    return receipt, hmac.compare_digest(value.encode(), _signature(receipt, key_id).encode())


def _signature(receipt: dict[str, Any], key_id: str) -> str:
    secret = settings.RECEIPT_SIGNING_KEYS[key_id].encode()
    # The key's id and the type are signed too, so that neither can be exchanged.
    message = f"{TYPE}\n{key_id}\n{canonical_json(receipt)}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def disagreements(receipt: dict[str, Any]) -> list[str]:
    """Where ledger, picture and database no longer say what a genuine receipt says, in sentences.

    Movements after it was issued, such as a later refund, are no disagreement: `later_moves` tells them.
    """
    found = []
    generation = Generation.objects.filter(public_id=receipt["generation"]["id"]).select_related("user").first()
    if generation is None or str(generation.user.public_id) != receipt["account"]:
        return ["The generation is not kept any more, so nothing can be compared."]
    present = {str(move.pk): move for move in moves_of(generation.user, generation)}
    told = {move["id"]: move for move in receipt["transfers"]}
    for move_id, move in told.items():
        if move_id not in present or _transfer(present[move_id]) != move:
            found.append(f"The ledger does not have the {move['code']} {move_id} as the receipt tells it.")
    known_until = datetime.fromisoformat(receipt["issued_at"]) - UNDER_WAY
    for move_id, present_move in present.items():
        if move_id not in told and present_move.created_at < known_until:
            found.append(f"The ledger has a {present_move.code} {move_id} that the receipt does not tell.")
    return found + _review_disagreements(receipt) + _picture_disagreements(generation, receipt)


def later_moves(receipt: dict[str, Any]) -> list[str]:
    """What happened to the money after the receipt was issued."""
    generation = Generation.objects.select_related("user").get(public_id=receipt["generation"]["id"])
    told = {move["id"] for move in receipt["transfers"]}
    later = [move for move in map(_transfer, moves_of(generation.user, generation)) if move["id"] not in told]
    return [f"{move['code']} of {move['amount']} USD at {move['created_at']}" for move in later]


def _review_disagreements(receipt: dict[str, Any]) -> list[str]:
    """A decision that is told must stand in the log; later ones are no disagreement. Older receipts tell of none."""
    told = receipt.get("review", {}).get("decision")
    if told is None:
        return []
    steps = ReviewStep.objects.filter(review__image__public_id=receipt["image"]["id"], version=told["version"])
    step = steps.select_related("reason").first()
    if step is not None and _told_decision(step) == told:
        return []
    return ["The log of the review does not have the decision as the receipt tells it."]


def _picture_disagreements(generation: Generation, receipt: dict[str, Any]) -> list[str]:
    images = Image.objects.owned_by(generation.user).filter(output__generation=generation).select_related("blob")
    image = images.filter(public_id=receipt["image"]["id"]).first()
    if image is None:
        return ["The picture is not kept any more."]
    if image.blob.sha256 != receipt["image"]["sha256"]:
        return ["The picture is another one."]
    if is_whole(image.blob.storage_name, sha256=image.blob.sha256):
        return []
    return ["The picture's file is missing, or not the one that was delivered."]
