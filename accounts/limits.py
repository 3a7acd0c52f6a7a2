"""Which limits apply: of the plan, of the user, of the API key and of the whole site; and the verbs that change them.

All that apply do so together: each is counted for itself, and whichever is used up first refuses. docs/limits.md says
what counts when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from accounts.errors import FieldError, InvalidInput
from accounts.models import ApiKey, GroupPlan, LimitChange, Plan, Quota, SiteLimits, User

# The names that the columns, the API, setquota and the headers all use.
KEY_MEASURES = ("images_per_day", "images_per_month", "concurrent", "requests_per_minute")
MEASURES = (*KEY_MEASURES, "storage_bytes")
UNLIMITED = 2**31 - 1  # the largest number that a count's column holds; in a Quota row it lifts the plan's limit
UNLIMITED_BYTES = 2**53 - 1  # the same for storage_bytes: the largest number that stays exact in JSON
MAX_REASON_CHARS = 200
PREFIXES = {"key": "key_", "site": "site_"}  # so that each limit that applies to a request has a name of its own


_PLANS = ("plan", "group")
_PLAN_COLUMNS = ("id", "name", "rank", "monthly_credit_micros", *MEASURES)


def _sources() -> str:
    """Where limits come from, a row each. By hand: this is asked in every request, and the ORM needs 3 ms for it."""
    plan, quota, site, group_plan, user = (
        connection.ops.quote_name(model._meta.db_table) for model in (Plan, Quota, SiteLimits, GroupPlan, User)
    )
    members = connection.ops.quote_name(User.groups.through._meta.db_table)
    plan_columns, limits = (", ".join(f"t.{name}" for name in names) for names in (_PLAN_COLUMNS, MEASURES))
    return (
        f"SELECT 'plan', {plan_columns} FROM {plan} t JOIN {user} u ON u.plan_id = t.id WHERE u.id = %s "  # noqa: S608
        f"UNION ALL SELECT 'group', {plan_columns} FROM {plan} t JOIN {group_plan} g ON g.plan_id = t.id "
        f"JOIN {members} m ON m.group_id = g.group_id WHERE m.user_id = %s "
        f"UNION ALL SELECT 'own', 0, '', 0, NULL, {limits} FROM {quota} t "
        f"WHERE t.user_id = %s AND (t.expires_at IS NULL OR t.expires_at > %s) "
        f"UNION ALL SELECT 'site', 0, '', 0, NULL, {limits} FROM {site} t"
    )


_SOURCES = _sources()


class Keep:
    """What stands for "leave it as it is" where None means something."""


KEEP: Final = Keep()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one user may do; None is unlimited."""

    images_per_day: int | None = None
    images_per_month: int | None = None
    concurrent: int | None = None
    requests_per_minute: int | None = None
    storage_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One limit that applies; `source` is whose it is: the plan's, the user's own, the key's or the site's."""

    measure: str
    source: str
    limit: int | None

    @property
    def name(self) -> str:
        return PREFIXES.get(self.source, "") + self.measure


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Who asks, on which plan, and every limit that applies: the user's always, the key's and the site's if set."""

    user: User
    api_key: ApiKey | None
    plan: Plan
    bounds: tuple[Bound, ...]

    def of(self, measure: str) -> list[Bound]:
        """The limits of this measure, the user's first, then the key's, then the site's."""
        return [bound for bound in self.bounds if bound.measure == measure]


def standing_of(user: User, *, api_key: ApiKey | None = None, at: datetime | None = None) -> Standing:
    """What applies to this user, and to this key of theirs, read afresh by one query."""
    now = at or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_SOURCES, [user.pk, user.pk, user.pk, connection.ops.adapt_datetimefield_value(now)])
        rows = cursor.fetchall()
    plans = [(row[0], Plan(**dict(zip(_PLAN_COLUMNS, row[1:], strict=True)))) for row in rows if row[0] in _PLANS]
    _, plan = max(plans, key=lambda found: (found[1].rank, found[0] == "plan", -found[1].pk))
    limits = {row[0]: dict(zip(MEASURES, row[-len(MEASURES) :], strict=True)) for row in rows if row[0] not in _PLANS}
    bounds = [_user_bound(measure, limits.get("own", {}), plan) for measure in MEASURES]
    if api_key is not None:
        bounds += _set_bounds("key", {measure: getattr(api_key, measure) for measure in KEY_MEASURES})
    bounds += _set_bounds("site", limits.get("site", {}))
    return Standing(user=user, api_key=api_key, plan=plan, bounds=tuple(bounds))


def plan_of(user: User) -> Plan:
    """The plan in force: of the user's own and those of their groups the highest in rank, the own one among equals."""
    return standing_of(user).plan


def limits_for(user: User) -> Limits:
    """The user's own limits over the plan's, read afresh; the key's and the site's are not among them."""
    standing = standing_of(user)
    return Limits(**{bound.measure: bound.limit for bound in standing.bounds if bound.source in ("plan", "own")})


def override_limits(
    *,
    user: User,
    actor: str = "system",
    reason: str = "",
    expires_at: datetime | Keep | None = KEEP,
    **limits: int | None,
) -> Limits:
    """Give the user limits of their own: a number, unlimited(name), or None for the plan's; what is not named stays.

    From `expires_at` on all of them are the plan's again. Who did it, why, and what changed is kept for good.
    Raises InvalidInput.
    """
    check_limits(limits)
    _check_reason(reason)
    now = timezone.now()
    if isinstance(expires_at, datetime) and expires_at <= now:
        raise InvalidInput.of("expires_at", "This moment has passed; name a time to come.")
    with transaction.atomic():
        # Two operators at once: the second one's `before` is the first one's `after`.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        quota = Quota.objects.filter(user=user).first() or Quota(user=user)
        before = _described(quota)
        if quota.expires_at is not None and quota.expires_at <= now:  # what has ended does not come back with the rest
            quota = Quota(pk=quota.pk, user=user)
        for name, limit in limits.items():
            setattr(quota, name, limit)
        if not isinstance(expires_at, Keep):
            quota.expires_at = expires_at
        quota.reason, quota.set_by, quota.updated_at = reason.strip(), actor, now
        quota.save()
        record_change(f"user:{user.public_id}", actor, reason, before, _described(quota))
    return limits_for(user)


def write_site_limits(*, actor: str, reason: str, limits: Mapping[str, int | None]) -> None:
    """The part of quotas.limit_site that changes the row and keeps who changed it. Raises InvalidInput."""
    check_limits(limits)
    _check_reason(reason)
    with transaction.atomic():
        SiteLimits.objects.get_or_create(pk=1)
        site = SiteLimits.objects.select_for_update().get(pk=1)
        before = _described(site)
        for name, limit in limits.items():
            setattr(site, name, limit)
        site.updated_at = timezone.now()
        site.save()
        record_change("site", actor, reason, before, _described(site))


def unlimited(name: str) -> int:
    """The number that in a user's own limits lifts the plan's; it is the largest that the limit can have."""
    return UNLIMITED_BYTES if name == "storage_bytes" else UNLIMITED


def check_key_limits(limits: Mapping[str, Any]) -> None:
    """The same for those of an API key: from 1, and nothing stands for no limit but None. Raises InvalidInput."""
    check_limits(limits, minimum=1, spare=1, known=KEY_MEASURES)


def check_limits(
    limits: Mapping[str, Any], *, minimum: int = 0, spare: int = 0, known: tuple[str, ...] = MEASURES
) -> None:
    """Raises InvalidInput that names every limit that is none; None always is one."""
    problems = []
    for name, limit in limits.items():
        if name not in known:
            problems.append(FieldError(name, f"There is no limit {name!r}; there are {', '.join(known)}."))
        elif limit is None:
            continue
        # A bool is an int to Python, and a limit of True would be 1.
        elif type(limit) is not int or not minimum <= limit <= unlimited(name) - spare:
            problems.append(FieldError(name, f"A limit is a whole number from {minimum} to {unlimited(name) - spare}."))
    if problems:
        raise InvalidInput(" ".join(problem.message for problem in problems), errors=tuple(problems))


def _user_bound(measure: str, own: Mapping[str, Any], plan: Plan) -> Bound:
    limit = own.get(measure)
    if limit is None:
        return Bound(measure=measure, source="plan", limit=_effective(measure, getattr(plan, measure)))
    return Bound(measure=measure, source="own", limit=_effective(measure, limit))


def _set_bounds(source: str, limits: Mapping[str, Any]) -> list[Bound]:
    effective = {measure: _effective(measure, limits.get(measure)) for measure in MEASURES}
    return [
        Bound(measure=measure, source=source, limit=limit) for measure, limit in effective.items() if limit is not None
    ]


def _effective(measure: str, limit: int | None) -> int | None:
    return None if limit is None or limit >= unlimited(measure) else limit


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON_CHARS or "\0" in reason:
        raise InvalidInput.of("reason", f"A reason has at most {MAX_REASON_CHARS} characters and no NUL.")


def _described(row: Quota | SiteLimits) -> dict[str, Any]:
    limits = {name: value for name in MEASURES if (value := getattr(row, name)) is not None}
    expires_at = getattr(row, "expires_at", None)
    return limits | ({"expires_at": expires_at.isoformat()} if expires_at else {})


def record_change(subject: str, actor: str, reason: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Keep for good who changed whose limits; in the transaction that changes them. `subject` names its kind first."""
    LimitChange.objects.create(subject=subject, actor=actor, reason=reason.strip(), before=before, after=after)
