"""What a guest may ask for: a few small pictures, one at a time and behind everybody else (accounts/guests.py).

What counts is a picture under way and each call that cost us or may have, whether or not a picture came of it, so that
a guest never costs more than was granted out of the day's budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts import guests, ledger
from accounts.errors import AccountNeeded, PriceUnknown
from accounts.models import User
from generations import catalog
from generations.catalog import Model
from generations.models import Attempt, Generation
from generations.spec import GenerationSpec

SIZES = ("0.5K", "1K")
SIZE = "1K"  # what a guest gets who says nothing, and what the grant is reckoned by
PRIORITY = 1  # people with an account are served first (turns.py)
# A call whose end nobody saw may have cost us; a second one for the same picture would not be in the grant.
MAX_PAID_ATTEMPTS = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a guest's trial stands: `left` of `total` pictures may still be asked for."""

    left: int
    total: int


def start(*, address: str) -> User:
    """A guest who can pay for the trial's pictures. Raises TrialFull, and PriceUnknown without a price to reckon by."""
    return guests.start_guest(address=address, grant_micros=_grant_micros())


def has_room() -> bool:
    """Whether one more guest could begin now, as far as the day's budget goes."""
    if not guests.is_trial_open():
        return False
    try:
        return ledger.left_of_day(ledger.TRIAL, timezone.now(), guests.budget_micros()) >= _grant_micros()
    except PriceUnknown:
        return False


def _grant_micros() -> int:
    price = ledger.current_price(model=catalog.DEFAULT_MODEL_ID, size=SIZE)
    return price.amount_micros * settings.TRIAL_GENERATIONS


def trial_of(user: User) -> Trial | None:
    """Of a guest; None for everybody else, without a query."""
    if not user.is_guest:
        return None
    total = settings.TRIAL_GENERATIONS
    return Trial(left=max(0, total - _used(user)), total=total)


def wallet_of(user: User) -> dict[str, Any]:
    """What the composer says beside its button: the balance, or to a guest how many pictures are left."""
    return {"balance": ledger.balance_of(user), "trial": trial_of(user)}


def check_wish(user: User, spec: GenerationSpec) -> None:
    """Raises AccountNeeded when the user is a guest and asks for what the trial does not have."""
    if user.is_guest:
        check_spec(spec)


def check_spec(spec: GenerationSpec) -> None:
    """Raises AccountNeeded for what no guest gets, however many pictures are left."""
    if spec.kind != "image":
        raise AccountNeeded("The trial makes pictures, not videos.")
    if spec.image_size not in SIZES:
        raise AccountNeeded(f"The trial makes pictures in {' and '.join(SIZES)}, not in {spec.image_size}.")
    if spec.count != 1:
        raise AccountNeeded("The trial makes one picture at a time.")
    price = ledger.current_price(model=spec.model, size=spec.image_size)
    if price.amount_micros > ledger.current_price(model=catalog.DEFAULT_MODEL_ID, size=SIZE).amount_micros:
        raise AccountNeeded(f"The trial does not paint with {catalog.MODELS[spec.model].label}.")


def check_left(user: User, *, besides: int = 0) -> None:
    """Raises AccountNeeded when a guest has had all pictures of the trial; `besides` is a job that asks again.

    Exact under the lock of the guest's row of the day (quotas.take_images).
    """
    if user.is_guest and _used(user, besides=besides) >= settings.TRIAL_GENERATIONS:
        raise AccountNeeded(used_up(settings.TRIAL_GENERATIONS))


def used_up(many: int) -> str:
    """That nothing is left, in words."""
    return "You have had the picture of the trial." if many == 1 else f"You have had the {many} pictures of the trial."


def priority_of(user: User) -> int:
    return PRIORITY if user.is_guest else 0


def max_paid_attempts(user: User) -> int:
    """How many calls that may have cost us are made for one picture."""
    return MAX_PAID_ATTEMPTS if user.is_guest else settings.UPSTREAM_MAX_PAID_ATTEMPTS


def offered_to_guests(models: Sequence[Model], prices: dict[tuple[str, str], int]) -> list[Model]:
    """Those of the models on offer that a guest may paint with, and in which sizes; prices in micro-USD."""
    most = prices.get((catalog.DEFAULT_MODEL_ID, SIZE), 0)
    fitting = []
    for model in models:
        sizes = tuple(size for size in model.sizes if size in SIZES and prices.get((model.id, size), most + 1) <= most)
        if sizes:
            can = replace(model.capabilities, count=(1,))
            fitting.append(replace(model, kinds=("image",), sizes=sizes, capabilities=can))
    return fitting


def _used(user: User, *, besides: int = 0) -> int:
    """Calls that cost us or may have, and jobs that will make one."""
    made = Attempt.objects.filter(generation=OuterRef("pk"), run=OuterRef("run"), is_paid=True)
    coming = Generation.objects.unfinished().filter(~Exists(made), user=user).exclude(pk=besides)
    return Attempt.objects.filter(generation__user=user, is_paid=True).count() + coming.count()
