"""The credit of a plan: granted once for each month in which the plan is held, at the first submit or by the sweeper.

The transfer's key is made of the user and the month, so of any number of calls at once one grants.
"""

from datetime import UTC, datetime

from django.db.models import Q
from django.utils import timezone

from accounts import ledger
from accounts.errors import IdempotencyMismatch
from accounts.limits import plan_of
from accounts.models import Plan, User

BATCH = 500


def refill(*, user: User, plan: Plan, at: datetime | None = None) -> bool:
    """Grant this month's credit of the plan in force, if it has one and did not come yet; True if it came now.

    The plan at the first call in a month decides: another plan's credit begins with the next month. Nothing expires.
    """
    month = month_of(at or timezone.now())
    credit = due_credit(user=user, plan=plan, at=at)
    if not credit:
        return False
    key = f"plan-credit:{user.public_id}:{month}"
    try:
        ledger.grant(
            user=user,
            amount_micros=credit,
            reason=f"{plan.name} plan, credit for {month}",
            key=key,
        )
        came = True
    except IdempotencyMismatch:  # it came when the plan, or its credit, was another
        came = False
    # Only so that the next call need not ask the ledger; the key is what decides.
    User.objects.filter(pk=user.pk).update(credited_month=month)
    user.credited_month = month
    return came


def due_credit(*, user: User, plan: Plan, at: datetime | None = None) -> int:
    """What the next `refill` of this month grants, in micro-USD; nothing when it came."""
    came = user.credited_month == month_of(at or timezone.now())
    return 0 if came or not user.is_active else plan.monthly_credit_micros or 0


def refill_due(*, at: datetime | None = None) -> int:
    """Grant the month's credit to everybody whose plan has one and who has not had it; returns to how many."""
    month = month_of(at or timezone.now())
    generous = Plan.objects.filter(monthly_credit_micros__gt=0).values("pk")
    holders = User.objects.filter(Q(plan__in=generous) | Q(groups__group_plan__plan__in=generous), is_active=True)
    due = holders.exclude(credited_month=month).order_by("pk").distinct()
    # One that a better plan without credit keeps from it stays in the list, so it goes on by the id.
    count, last = 0, 0
    while users := list(due.filter(pk__gt=last)[:BATCH]):
        count += sum(refill(user=user, plan=plan_of(user), at=at) for user in users)
        last = users[-1].pk
    return count


def month_of(at: datetime) -> str:
    """The month in UTC, such as 2026-11."""
    return f"{at.astimezone(UTC):%Y-%m}"
