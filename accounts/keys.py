"""API keys: how they are made, checked, and taken back (TRUST S6, S7).

A key is `nbk_live_` + 8 characters by which its row is found + `_` + 30 secret ones + a checksum of 6, all base62.
Only an HMAC of the whole key is kept. The HMAC's own key (the pepper) is derived from SECRET_KEY, so a stolen database
alone can check no guess; a fast hash is enough because nobody guesses 178 random bits.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.errors import Conflict, FieldError, Forbidden, InvalidInput, NotAuthenticated, NotFound
from accounts.limits import KEY_MEASURES, check_key_limits, record_change
from accounts.models import MAX_AMOUNT, ApiKey, User

KEY_PATTERN = r"nbk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{36}"  # published, for secret scanners
SCOPES = ("generate", "read", "publish", "review", "account")
DEFAULT_SCOPES = ("generate", "read")
STAFF_SCOPES = frozenset({"review"})
MAX_ACTIVE_KEYS = 50
MAX_NAME_CHARS = 100
NO_BUDGET = "There is no budget that could have a period."

_KEY = re.compile(KEY_PATTERN)
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM_CHARS = 6
_USE_NOTED_EVERY = timedelta(minutes=1)


class Unchanged:
    """What a change does not mention; None would lift a limit."""


UNCHANGED = Unchanged()


@dataclass(frozen=True)
class IssuedKey:
    """A new key and, for this once, its text."""

    api_key: ApiKey
    secret: str


@dataclass(frozen=True)
class _Pepper:
    id: str
    key: bytes

    def hash(self, raw: str) -> str:
        return hmac.new(self.key, raw.encode(), hashlib.sha256).hexdigest()


def scopes_of_role(user: User) -> tuple[str, ...]:
    """Every scope that this person may have, in a session or on a key."""
    return tuple(scope for scope in SCOPES if user.is_staff or scope not in STAFF_SCOPES)


def granted_scopes(api_key: ApiKey) -> tuple[str, ...]:
    """What the key may do now: its scopes, less those that its owner has lost since it was made."""
    return tuple(scope for scope in scopes_of_role(api_key.user) if scope in api_key.scopes)


def create_key(
    *,
    user: User,
    name: str = "API key",
    scopes: Sequence[str] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    budget_micros: int | None = None,
    budget_period: str | None = None,
    issuer: ApiKey | None = None,
    key_id: UUID | None = None,
    limits: Mapping[str, int | None] | None = None,
) -> IssuedKey:
    """A new key of `user`; `issuer` is the key that asks for it, if one does, whose scopes it cannot exceed.

    `limits` (KEY_MEASURES) are the key's own, from 1, counted beside those of its user. A budget is in micro-USD, in
    all or a month. With a `key_id`, made by the caller, what is sent twice makes one key. Raises InvalidInput,
    Forbidden (a scope that the user or the issuer lacks, an issuer with a budget or limits) and Conflict (too many
    keys, or one with this id).
    """
    name = _checked_name(name)
    scopes = _checked_scopes(scopes, user, issuer)
    _refuse_limited(issuer)
    check_key_limits(limits or {})
    if budget_micros is None and budget_period is not None:
        raise InvalidInput.of("budget_period", NO_BUDGET)
    budget_micros, budget_period = _checked_budget(budget_micros, budget_period or ApiKey.Period.TOTAL)
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput.of("expires_at", "The key would have expired already; name a time to come.")
    raw = _random_key()
    pepper = _present_pepper()
    with transaction.atomic():
        # The user's row is locked so that two requests cannot both make the last key (SQLite: IMMEDIATE does it).
        User.objects.select_for_update().get(pk=user.pk)
        if key_id is not None and ApiKey.objects.filter(public_id=key_id).exists():
            raise Conflict(
                "This key was made already, and its text is shown only once.",
                remedy="If you did not copy it, revoke it and make another one.",
            )
        if active_keys(user).count() >= MAX_ACTIVE_KEYS:
            raise Conflict(f"You have {MAX_ACTIVE_KEYS} active keys.", remedy="Revoke one that is no longer used.")
        api_key = ApiKey.objects.create(
            public_id=key_id or uuid4(),
            user=user,
            name=name,
            lookup=_lookup(raw),
            secret_hash=pepper.hash(raw),
            pepper_id=pepper.id,
            last_four=raw[-4:],
            scopes=list(scopes),
            expires_at=expires_at,
            budget_micros=budget_micros,
            budget_period=budget_period,
            **(limits or {}),
        )
    return IssuedKey(api_key, raw)


def authenticate(raw: str) -> ApiKey:
    """The active key with this text, with its user loaded. Raises NotAuthenticated saying why.

    1. the checksum, so that a mistyped key costs no query; 2. the HMAC; 3. only then what became of the key, which is
    nobody else's business.
    """
    if not _KEY.fullmatch(raw) or not hmac.compare_digest(_checksum(raw[:-_CHECKSUM_CHARS]), raw[-_CHECKSUM_CHARS:]):
        raise NotAuthenticated("This is not an API key of this service, or it was cut off or mistyped.")
    api_key = ApiKey.objects.select_related("user").filter(lookup=_lookup(raw)).first()
    if api_key is None:
        raise NotAuthenticated("There is no such API key.")
    pepper = _pepper_by_id(api_key.pepper_id)
    if pepper is None:
        raise NotAuthenticated(
            "This API key was made before the server's secret was changed.", remedy="Make a new key and use that."
        )
    if not hmac.compare_digest(pepper.hash(raw), api_key.secret_hash):
        raise NotAuthenticated("There is no such API key.")
    _refuse_inactive(api_key)
    _move_to_present_pepper(api_key, raw)
    _note_use(api_key)
    return api_key


def active_keys(user: User) -> QuerySet[ApiKey]:
    """The user's keys that are neither revoked nor expired."""
    return user.api_keys.filter(revoked_at=None).exclude(expires_at__lte=timezone.now())


def ended_keys(user: User) -> QuerySet[ApiKey]:
    """The user's keys that are revoked or expired, which work no more."""
    return user.api_keys.filter(Q(revoked_at__isnull=False) | Q(expires_at__lte=timezone.now()))


def own_key(user: User, key_id: str) -> ApiKey:
    """One of the user's keys, ended ones too, by what was sent as `api_key`. Raises InvalidInput, also for others'."""
    try:
        found = user.api_keys.filter(public_id=UUID(key_id)).first()
    except ValueError:
        raise InvalidInput.of("api_key", "api_key is the id of an API key.") from None
    if found is None:
        raise InvalidInput.of("api_key", "You have no API key with this id.")
    return found


def update_key(
    *,
    user: User,
    key_id: UUID | str,
    name: str | None = None,
    budget_micros: int | Unchanged | None = UNCHANGED,
    budget_period: str | None = None,
    limits: Mapping[str, int | None] | None = None,
    issuer: ApiKey | None = None,
) -> ApiKey:
    """Rename a key or change its budget or limits (None lifts one); what is not named stays.

    It counts from the next request on, with what the key has used of this day and month already. Who changed a budget
    or a limit, and what it was, is kept for good. `issuer` is the key that asks, if one does. Raises NotFound (also for
    a revoked key and another user's), InvalidInput and Forbidden (an issuer with a budget or limits of its own).
    """
    check_key_limits(limits or {})
    with transaction.atomic():
        # Locked, so that of two changes at once neither writes back what the other has replaced.
        api_key = user.api_keys.select_for_update().filter(public_id=key_id, revoked_at=None).first()
        if api_key is None:
            raise NotFound("You have no such API key that works.")
        before = _allowance(api_key)
        if name is not None:
            api_key.name = _checked_name(name)
        if budget_micros is not UNCHANGED or budget_period is not None:
            _refuse_limited(issuer)
            wanted = api_key.budget_micros if isinstance(budget_micros, Unchanged) else budget_micros
            if wanted is None and budget_period is not None:
                raise InvalidInput.of("budget_period", NO_BUDGET)
            period = budget_period or api_key.budget_period or ApiKey.Period.TOTAL
            api_key.budget_micros, api_key.budget_period = _checked_budget(wanted, period)
        if limits:
            _refuse_limited(issuer)
        for measure, limit in (limits or {}).items():
            setattr(api_key, measure, limit)
        if (after := _allowance(api_key)) != before:
            actor = str(user.public_id) if issuer is None else f"key:{issuer.public_id}"
            record_change(f"key:{api_key.public_id}", actor, "", before, after)
        api_key.save(update_fields=["name", "budget_micros", "budget_period", *KEY_MEASURES])
    return api_key


def revoke_key(*, user: User, key_id: UUID | str) -> None:
    """End a key at once and for good; a second time changes nothing. Raises NotFound, also for another user's."""
    api_key = user.api_keys.filter(public_id=key_id).first()
    if api_key is None:
        raise NotFound("You have no such API key.")
    user.api_keys.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=timezone.now())


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS or "\0" in name:
        raise InvalidInput.of("name", f"A key's name has 1 to {MAX_NAME_CHARS} characters.")
    return name


def _allowance(api_key: ApiKey) -> dict[str, int | str]:
    """What the key may spend and do, as the record of its changes has it."""
    found = {name: getattr(api_key, name) for name in ("budget_micros", "budget_period", *KEY_MEASURES)}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _checked_budget(amount_micros: int | None, period: str) -> tuple[int | None, str]:
    """A budget and its period as the columns have them."""
    if period not in ApiKey.Period.values:
        raise InvalidInput.of("budget_period", f"A budget's period is {' or '.join(ApiKey.Period.values)}.")
    if amount_micros is None:
        return None, ""
    if type(amount_micros) is not int or not 1 <= amount_micros <= MAX_AMOUNT:
        raise InvalidInput.of(
            "budget", "A budget is more than nothing; a key that may spend nothing needs no 'generate'."
        )
    return amount_micros, period


def _refuse_limited(issuer: ApiKey | None) -> None:
    """A key with a budget or limits could otherwise lift them, or make itself another key without them."""
    if issuer is None:
        return
    if issuer.budget_micros is not None or any(getattr(issuer, name) is not None for name in KEY_MEASURES):
        raise Forbidden(
            "A key with a budget or limits of its own makes no keys and changes neither budgets nor limits.",
            remedy="Use a key without them, or the page of your keys at /account/keys/.",
        )


def _checked_scopes(scopes: Sequence[str], user: User, issuer: ApiKey | None) -> tuple[str, ...]:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        found = f"{unknown[0]!r} is not a scope" if unknown else "A key needs at least one scope"
        raise InvalidInput.of("scopes", f"{found}; there are {', '.join(SCOPES)}.")
    allowed = granted_scopes(issuer) if issuer else scopes_of_role(user)
    for scope in scopes:
        if scope not in scopes_of_role(user):
            raise _forbidden_scope(f"The scope {scope!r} is for staff only.")
        # Otherwise a key that may only look after the account could make itself one that spends.
        if scope not in allowed:
            raise _forbidden_scope(f"The key that asks has not the scope {scope!r} itself, so it cannot pass it on.")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _forbidden_scope(message: str) -> Forbidden:
    return Forbidden(message, errors=(FieldError("scopes", message),))


def _refuse_inactive(api_key: ApiKey) -> None:
    if api_key.revoked_at is not None:
        raise NotAuthenticated(f"This API key was revoked at {api_key.revoked_at:%Y-%m-%d %H:%M} UTC.")
    if api_key.expires_at is not None and api_key.expires_at <= timezone.now():
        raise NotAuthenticated(f"This API key expired at {api_key.expires_at:%Y-%m-%d %H:%M} UTC.")
    if not api_key.user.is_active:
        raise NotAuthenticated("The account of this API key is switched off.", remedy="Ask the operator.")
    if api_key.user.erase_at is not None:
        raise NotAuthenticated("The account of this API key is to be deleted.", remedy="Sign in to keep it.")


def _move_to_present_pepper(api_key: ApiKey, raw: str) -> None:
    """After SECRET_KEY was rotated each key moves on its first use; the fallback can go when none is left behind."""
    pepper = _present_pepper()
    if api_key.pepper_id != pepper.id:
        ApiKey.objects.filter(pk=api_key.pk).update(secret_hash=pepper.hash(raw), pepper_id=pepper.id)


def _note_use(api_key: ApiKey) -> None:
    now = timezone.now()
    stale = now - _USE_NOTED_EVERY
    if api_key.last_used_at is not None and api_key.last_used_at > stale:
        return  # not even an UPDATE of no row: on SQLite that too takes the write lock
    # Of many requests at once, one writes.
    ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=api_key.pk).update(last_used_at=now)


def _random_key() -> str:
    lookup = "".join(secrets.choice(_BASE62) for _ in range(8))
    secret = "".join(secrets.choice(_BASE62) for _ in range(30))
    body = f"nbk_live_{lookup}_{secret}"
    return body + _checksum(body)


def _lookup(raw: str) -> str:
    return raw.split("_")[2]


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


@lru_cache(maxsize=16)
def _pepper_from(secret_key: str) -> _Pepper:
    key = salted_hmac("accounts.keys.pepper", "1", secret=secret_key, algorithm="sha256").digest()
    return _Pepper(id=hashlib.sha256(key).hexdigest()[:8], key=key)


def _present_pepper() -> _Pepper:
    return _pepper_from(settings.SECRET_KEY)


def _pepper_by_id(pepper_id: str) -> _Pepper | None:
    for secret_key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if _pepper_from(secret_key).id == pepper_id:
            return _pepper_from(secret_key)
    return None
