"""What a rush needs from inside the instance: people with limits, and what is left of jobs, holds and counters.

Called by `manage shell` in the instance's own process and database; each prints one JSON value.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from accounts import keys, ledger, quotas
from accounts.counters import EPOCH, Owner, key_owner, read, user_owner, window_of
from accounts.models import KeyBudget, KeyUsage, Plan, StorageHold, User
from accounts.users import create_account
from gallery.models import Image
from generations.audit import audit
from generations.models import Generation

PASSWORD = "correct horse battery"
PLENTY = {"images_per_day": 1_000_000, "concurrent": 100_000, "requests_per_minute": 1_000_000}


def prepare(cases: Sequence[Mapping[str, Any]]) -> None:
    """For each case its people with their keys: [[{"email", "keys"}]]."""
    _print([[_person(case) for _ in range(case["people"])] for case in cases])


def limit_site(measure: str, room: int | None) -> None:
    """Let everybody together have so much more than is used by now; None lifts it. Prints what is used."""
    used = _used_by_all(measure)
    quotas.limit_site(**{measure: None if room is None else used + room})
    _print(used)


def lapse() -> None:
    """What was left behind lies there for so long that the sweeper takes it: leases, and bytes of dead uploads."""
    past = timezone.now() - timedelta(hours=2)
    leased = Generation.objects.unfinished().exclude(lease_owner="").update(lease_expires_at=past)
    _print({"leases": leased, "storage_holds": StorageHold.objects.update(created_at=past)})


def leftovers() -> None:
    """What must be nothing once everything has ended, and every counter that the facts do not bear out."""
    held = KeyBudget.objects.aggregate(sum=Sum("held_micros"))["sum"] or 0
    open_holds = sum(ledger.open_holds(user).count() for user in User.objects.all())
    _print(
        {
            "unfinished jobs": Generation.objects.unfinished().count(),
            "open holds": open_holds,
            "micros held in budgets": held,
            "storage holds": StorageHold.objects.count(),
            "wrong counters": [*_wrong_pictures(), *_wrong_storage()],
            "violations": [f"{violation.name}: {violation.detail}" for violation in audit()],
        }
    )


def _person(case: Mapping[str, Any]) -> dict[str, Any]:
    measure, source, room = case["measure"], case["source"], case["room"]
    credit = case["price"] * room + case["price"] - 1 if measure == "balance" else 1_000_000_000
    email = f"{secrets.token_hex(6)}@example.org"
    user = create_account(email=email, password=PASSWORD, credit_micros=credit)
    own: dict[str, int | None] = dict(PLENTY)
    if source == "own" and measure in PLENTY | {"images_per_month": 0}:
        own[measure] = room
    if source == "plan":
        user.plan, _ = Plan.objects.get_or_create(name=f"rush-{measure}-{room}", defaults={**PLENTY, measure: room})
        user.save()
        own = {}
    if own:
        quotas.override_limits(user=user, **own)
    limits = {measure: room} if source == "key" else {}
    budget = case["price"] * room + case["price"] - 1 if measure == "budget" else None
    made = [
        keys.create_key(
            user=user,
            scopes=keys.scopes_of_role(user),
            limits=limits,
            budget_micros=budget,
            budget_period=source if budget else None,
        )
        for _ in range(case["keys"])
    ]
    return {"email": email, "keys": [key.secret for key in made]}


def _used_by_all(measure: str) -> int:
    if measure == "concurrent":
        return Generation.objects.unfinished().count()
    start = window_of(measure, timezone.now()).start
    return sum(read(user_owner(user), [(measure, start)])[measure] for user in User.objects.all())


def _wrong_pictures() -> list[str]:
    """Pictures of today and of this month, as counted and as delivered; unfinished jobs count as asked for."""
    wrong = []
    now = timezone.now()
    of_user: dict[int, int] = {}
    of_key: dict[int | None, int] = {}
    jobs = Generation.objects.filter(reused_from=None).annotate(delivered=Count("outputs"))
    for job in jobs:
        is_open = job.status in ("queued", "running")
        pictures = job.spec.get("count", 1) if is_open else job.delivered
        of_user[job.user_id] = of_user.get(job.user_id, 0) + pictures
        of_key[job.api_key_id] = of_key.get(job.api_key_id, 0) + pictures
    for measure in ("images_per_day", "images_per_month"):
        start = window_of(measure, now).start
        owners: list[tuple[Owner, int]] = [(user_owner(user), of_user.get(user.pk, 0)) for user in User.objects.all()]
        counted = KeyUsage.objects.filter(name=measure, window_start=start).values_list("api_key_id", flat=True)
        owners += [(key_owner(pk), of_key.get(pk, 0)) for pk in counted]
        for owner, facts in owners:
            used = read(owner, [(measure, start)])[measure]
            if used != facts:
                wrong.append(f"{measure} of {owner.column} {owner.pk}: {used} counted, {facts} in fact")
    return wrong


def _wrong_storage() -> list[str]:
    rows = Image.objects.values("owner").annotate(own=Sum("blob__byte_size"), posters=Sum("blob__poster__byte_size"))
    facts = {row["owner"]: row["own"] + (row["posters"] or 0) for row in rows.order_by()}
    for hold in StorageHold.objects.all():
        facts[hold.user_id] = facts.get(hold.user_id, 0) + hold.byte_size
    counted = {
        user.pk: read(user_owner(user), [("storage_bytes", EPOCH)])["storage_bytes"] for user in User.objects.all()
    }
    return [
        f"storage_bytes of user {pk}: {used} counted, {facts.get(pk, 0)} in fact"
        for pk, used in counted.items()
        if used != facts.get(pk, 0)
    ]


def _print(value: object) -> None:
    print(json.dumps(value))  # noqa: T201 - what the caller reads
