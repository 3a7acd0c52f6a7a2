"""Calls whose cost nobody knows: paid for, perhaps, and without a picture. An operator compares them with the bill.

Their cost is in suspense (settlement.conclude_attempt) until a verdict moves it to expense or takes it back.
"""

from typing import Literal
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet, Sum

from accounts import ledger
from accounts.errors import Conflict, NotFound
from accounts.models import Transfer
from generations.models import Attempt

log = structlog.get_logger(__name__)

Verdict = Literal["billed", "not_billed"]

OPEN = "open"


def uncertain_attempts() -> QuerySet[Attempt]:
    """The attempts without a verdict, oldest first, each with its generation."""
    return Attempt.objects.filter(cost_verdict=OPEN).select_related("generation").order_by("sent_at", "pk")


def uncertain_total() -> tuple[int, int]:
    """How many attempts wait for a verdict, and what they cost at most, in micro-USD."""
    found = Attempt.objects.filter(cost_verdict=OPEN).aggregate(calls=Count("pk"), total=Sum("cost_micros", default=0))
    return found["calls"], found["total"]


def resolve_cost(attempt: Attempt, *, was_billed: bool, actor: str, reason: str) -> Transfer:
    """Write down whether the upstream has billed this call, and move its cost out of suspense; safe to repeat.

    Raises Conflict when there is nothing uncertain about it or the verdict was another one, InvalidInput.
    """
    verdict: Verdict = "billed" if was_billed else "not_billed"
    with transaction.atomic():
        # The first write decides between two operators at once.
        decided = Attempt.objects.filter(cost_verdict=OPEN, pk=attempt.pk).update(cost_verdict=verdict)
        attempt.refresh_from_db(fields=["cost_verdict"])
        if attempt.cost_verdict != verdict:
            raise Conflict(
                f"This call was settled before as {attempt.cost_verdict.replace('_', ' ')}."
                if attempt.cost_verdict
                else "The cost of this call is not uncertain."
            )
        cost = Transfer.objects.filter(key=f"cost:{attempt.public_id}").first()
        if cost is None:
            raise Conflict("No cost was booked for this call.")
        transfer = ledger.settle_suspense(
            cost=cost, was_billed=was_billed, actor=actor, reason=reason, key=f"verdict:{attempt.public_id}"
        )
    if decided:
        log.info("cost_resolved", attempt=str(attempt.public_id), verdict=verdict, actor=actor)
    return transfer


def get_attempt(public_id: UUID | str) -> Attempt:
    """Raises NotFound."""
    try:
        return Attempt.objects.select_related("generation").get(public_id=public_id)
    except (Attempt.DoesNotExist, ValidationError):
        raise NotFound("There is no call with this id.") from None
