"""The verbs that move money: grant, reserve, capture, release, refund. Amounts are integer micro-USD.

Each verb writes in one transaction, in this order: the transfer; a conditional UPDATE of the wallet, which nothing can
overspend because the condition and the change are one statement; the account's next statement line. A key makes a verb
safe to repeat: the same key with the same money gives the same transfer back (the words and the time limit may differ),
with other money IdempotencyMismatch. A database that does not answer is ServiceUnavailable, and nothing half is left.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from accounts.errors import (
    Conflict,
    IdempotencyMismatch,
    InsufficientCredit,
    InvalidInput,
    PriceUnknown,
    ServiceUnavailable,
)
from accounts.models import MAX_AMOUNT, Entry, LedgerAccount, Price, Transfer, User
from accounts.models.ledger import TransferQuerySet
from accounts.money import format_usd, parse_usd

__all__ = [
    "Balance",
    "balance_of",
    "capture",
    "current_price",
    "expired_holds",
    "format_usd",
    "grant",
    "open_holds",
    "open_wallet",
    "parse_usd",
    "record_cost",
    "refund",
    "release",
    "reserve",
    "settle_suspense",
]

Kind = LedgerAccount.Kind
MAX_REASON = 200  # characters
ABOVE_FLOOR = "ledger_account_above_floor"  # the constraint behind the conditional UPDATE, should that ever fail
# How it ended with a cost that was in suspense, and the code of the transfer that says so.
VERDICT_CODES = {"billed": "cost_billed", "not_billed": "cost_not_billed"}
# What a repeated call must have in common with the first; its words and its time limit may differ.
SAME_MONEY = (
    "kind",
    "debit_id",
    "credit_id",
    "amount_micros",
    "hold_id",
    "refunds_id",
    "code",
    "reference",
    "price_id",
)


@dataclass(frozen=True)
class Balance:
    """A wallet in micro-USD; `spent` is what was captured less what was refunded."""

    available: int
    held: int
    spent: int


@dataclass(frozen=True)
class Effect:
    """What a transfer adds to the columns of a wallet, in micro-USD."""

    credits: int = 0
    refunds: int = 0
    debits: int = 0
    pending: int = 0

    @property
    def posted(self) -> int:
        return self.credits - self.debits


@contextmanager
def fail_closed() -> Iterator[None]:
    """A database that cannot be reached refuses the verb; it never lets it pass unpaid."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise ServiceUnavailable("The ledger does not answer just now. Nothing was charged.") from error


# --- Reading -------------------------------------------------------------------------------------


@fail_closed()
def balance_of(user: User) -> Balance:
    """What the user has, from one row however long the history; all zero without a wallet."""
    row = LedgerAccount.objects.filter(owner=user).first()
    if row is None:
        return Balance(available=0, held=0, spent=0)
    return Balance(
        available=row.credits_posted - row.debits_posted - row.debits_pending,
        held=row.debits_pending,
        spent=row.debits_posted - row.refunds_posted,
    )


@fail_closed()
def current_price(*, model: str, size: str, unit: str = "image", at: datetime | None = None) -> Price:
    """The newest price that has begun (by default: by now). Raises PriceUnknown; a price is never taken to be 0."""
    price = Price.objects.current(model=model, size=size, unit=unit, at=at or timezone.now())
    if price is None:
        raise PriceUnknown(f"No price is set for {model} at {size}, so it cannot be sold. Nothing was charged.")
    return price


def open_holds(user: User) -> TransferQuerySet:
    """The user's holds that are neither captured nor released."""
    return Transfer.objects.open_holds().filter(debit__owner=user)


def statement(user: User) -> QuerySet[Entry]:
    """The user's lines, each with `available_change` and `available_after`; the caller orders them by `version`."""
    return (
        Entry.objects.filter(account__owner=user)
        .select_related("transfer", "account")
        .annotate(
            available_change=F("posted_delta") - F("pending_delta"),
            available_after=F("posted_after") - F("pending_after"),
        )
    )


def spent_since(user: User, since: datetime) -> int:
    """What was captured from then on, less what was refunded, in micro-USD."""
    lines = Entry.objects.filter(account__owner=user, created_at__gte=since, transfer__code__in=("capture", "refund"))
    return -(lines.aggregate(sum=Sum("posted_delta"))["sum"] or 0)


def expired_holds(at: datetime, *, since: datetime | None = None) -> TransferQuerySet:
    """Open holds whose time limit passed by `at`, oldest first.

    Resolved holds stay in the table, so a caller that comes often names in `since` the time limit up to which it has
    seen everything resolved.
    """
    holds = Transfer.objects.open_holds().filter(expires_at__lte=at).order_by("expires_at")
    return holds.filter(expires_at__gte=since) if since else holds


# --- Verbs ---------------------------------------------------------------------------------------


@fail_closed()
def open_wallet(user: User) -> LedgerAccount:
    """The user's wallet, which cannot go below zero; called in the transaction that creates the user."""
    wallet, _ = LedgerAccount.objects.get_or_create(
        owner=user,
        defaults={"code": f"wallet:{user.public_id}", "kind": Kind.WALLET, "floor": 0, "is_tracked": True},
    )
    return wallet


@fail_closed()
def grant(
    *, user: User, amount_micros: int, reason: str, key: str, actor: str = "system", code: str = "grant"
) -> Transfer:
    """Money from outside into the wallet. Raises InvalidInput."""
    _check_amount(amount_micros)
    _check_reason(reason)
    with transaction.atomic():
        wallet, external = _wallet_and(user, Kind.EXTERNAL)
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=external,
            credit=wallet,
            amount_micros=amount_micros,
            key=key,
            code=code,
            actor=actor,
            reason=reason,
        )
        return _write(transfer, wallet, Effect(credits=amount_micros))


@fail_closed()
def reserve(
    *, user: User, amount_micros: int, reference: str, key: str, price: Price, expires_at: datetime
) -> Transfer:
    """Hold money for work that is about to start; needs the open transaction in which the work is written down.

    Raises InsufficientCredit, after which the caller's transaction holds nothing of it.
    """
    assert connection.in_atomic_block, "reserve() outside a transaction could hold money for work that nobody knows"
    _check_amount(amount_micros)
    wallet, revenue = _wallet_and(user, Kind.REVENUE)
    transfer = Transfer(
        kind=Transfer.Kind.PENDING,
        debit=wallet,
        credit=revenue,
        amount_micros=amount_micros,
        key=key,
        code="hold",
        reference=reference,
        price=price,
        expires_at=expires_at,
    )
    return _write(transfer, wallet, Effect(pending=amount_micros))


@fail_closed()
def capture(*, hold: Transfer, amount_micros: int | None = None) -> Transfer:
    """Take the hold, or `amount_micros` of it; the rest is available again at once.

    Raises Conflict when the hold was released, InvalidInput for an amount that is not 1 up to the hold.
    """
    amount = hold.amount_micros if amount_micros is None else amount_micros
    _check_amount(amount, maximum=hold.amount_micros)
    post = _resolution(hold, kind=Transfer.Kind.POST, amount_micros=amount, code="capture")
    return _resolve(hold, post, Effect(debits=amount, pending=-hold.amount_micros))


@fail_closed()
def release(*, hold: Transfer, reason: str) -> Transfer:
    """Give the whole hold back. Raises Conflict when it was captured."""
    void = _resolution(hold, kind=Transfer.Kind.VOID, amount_micros=0, code="release", reason=reason)
    return _resolve(hold, void, Effect(pending=-hold.amount_micros))


@fail_closed()
def refund(*, transfer: Transfer, amount_micros: int, actor: str, reason: str, key: str) -> Transfer:
    """Give back all or part of a capture. Raises Conflict when its refunds would exceed it, InvalidInput."""
    _check_amount(amount_micros)
    _check_reason(reason)
    if transfer.kind != Transfer.Kind.POST:
        raise Conflict("Only a capture can be refunded.")
    compensation = Transfer(
        kind=Transfer.Kind.DIRECT,
        debit_id=transfer.credit_id,
        credit_id=transfer.debit_id,
        amount_micros=amount_micros,
        refunds=transfer,
        key=key,
        code="refund",
        reference=transfer.reference,
        price_id=transfer.price_id,
        actor=actor,
        reason=reason,
    )
    with transaction.atomic():
        # The row lock that refunds of one capture queue for; on SQLite the transaction is already the only writer.
        wallet = LedgerAccount.objects.select_for_update(no_key=True).get(pk=transfer.debit_id)
        if earlier := _find_by_key(compensation):
            return earlier
        refunded = transfer.refunded_by.aggregate(total=Sum("amount_micros", default=0))["total"]
        if refunded + amount_micros > transfer.amount_micros:
            raise Conflict(
                f"Of {format_usd(transfer.amount_micros)} USD captured, {format_usd(refunded)} USD is refunded already."
            )
        return _write(compensation, wallet, Effect(credits=amount_micros, refunds=amount_micros))


@fail_closed()
def record_cost(*, amount_micros: int, reference: str, key: str, price: Price, is_certain: bool) -> Transfer:
    """What an upstream call cost us; a call whose outcome nobody saw goes to suspense."""
    _check_amount(amount_micros)
    with transaction.atomic():
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=_house_account(Kind.PROVIDER),
            credit=_house_account(Kind.EXPENSE if is_certain else Kind.SUSPENSE),
            amount_micros=amount_micros,
            key=key,
            code="cost" if is_certain else "suspense",
            reference=reference,
            price=price,
        )
        return _write(transfer)


@fail_closed()
def settle_suspense(*, cost: Transfer, was_billed: bool, actor: str, reason: str, key: str) -> Transfer:
    """Take an uncertain cost out of suspense: an expense if the upstream has billed it, else back to the provider.

    Safe to repeat. Raises Conflict for a transfer that is not in suspense and for the other verdict, InvalidInput.
    """
    _check_reason(reason)
    if cost.code != "suspense":
        raise Conflict("Only a cost that was booked to suspense can be settled.")
    transfer = Transfer(
        kind=Transfer.Kind.DIRECT,
        debit_id=cost.credit_id,
        credit=_house_account(Kind.EXPENSE) if was_billed else cost.debit,
        amount_micros=cost.amount_micros,
        key=key,
        code=VERDICT_CODES["billed" if was_billed else "not_billed"],
        reference=cost.reference,
        price_id=cost.price_id,
        actor=actor,
        reason=reason,
    )
    try:
        return _write(transfer)
    except IdempotencyMismatch:
        raise Conflict("This cost was settled the other way before.") from None


# --- Writing -------------------------------------------------------------------------------------


def _write(transfer: Transfer, wallet: LedgerAccount | None = None, effect: Effect | None = None) -> Transfer:
    """Insert the transfer with its effect on the wallet, once for each key."""
    try:
        with transaction.atomic():
            transfer.save(force_insert=True)
            if wallet is not None and effect is not None:
                _apply(transfer, wallet, effect)
    except IntegrityError as error:
        if earlier := _find_by_key(transfer):
            return earlier
        if wallet is not None and ABOVE_FLOOR in str(error):
            raise _refusal(transfer, wallet) from error
        raise
    return transfer


def _has_room(effect: Effect) -> Q:
    """Wallets that stay above their floor, and countable, after `effect`."""
    needed = F("floor") + F("debits_posted") + F("debits_pending") + (effect.pending - effect.posted)
    is_covered = Q(floor__isnull=True) | Q(credits_posted__gte=needed)
    return is_covered & Q(credits_posted__lte=MAX_AMOUNT - effect.credits)


def _apply(transfer: Transfer, wallet: LedgerAccount, effect: Effect) -> None:
    wallets = LedgerAccount.objects.filter(pk=wallet.pk)
    # One statement: of many that race for the last money, those that come after it is gone find no row to change.
    changed = wallets.filter(_has_room(effect)).update(
        credits_posted=F("credits_posted") + effect.credits,
        refunds_posted=F("refunds_posted") + effect.refunds,
        debits_posted=F("debits_posted") + effect.debits,
        debits_pending=F("debits_pending") + effect.pending,
        version=F("version") + 1,
    )
    if not changed:
        raise _refusal(transfer, wallet)
    row = wallets.get()  # its lock is ours until the commit, so this is the version that we made
    Entry.objects.create(
        transfer=transfer,
        account=row,
        version=row.version,
        posted_delta=effect.posted,
        pending_delta=effect.pending,
        posted_after=row.credits_posted - row.debits_posted,
        pending_after=row.debits_pending,
    )


def _refusal(transfer: Transfer, wallet: LedgerAccount) -> InsufficientCredit | InvalidInput:
    if transfer.kind != Transfer.Kind.PENDING:
        return InvalidInput.of("amount_micros", "The wallet would hold more than the ledger can count exactly.")
    row = LedgerAccount.objects.get(pk=wallet.pk)
    available = format_usd(row.credits_posted - row.debits_posted - row.debits_pending)
    required = format_usd(transfer.amount_micros)
    return InsufficientCredit(
        f"This costs {required} USD and {available} USD is available.",
        available=available,
        required=required,
        held=format_usd(row.debits_pending),
    )


def _find_by_key(transfer: Transfer) -> Transfer | None:
    """The transfer that an earlier call wrote with this key. Raises IdempotencyMismatch when it moved other money."""
    earlier = Transfer.objects.filter(key=transfer.key).first()
    if earlier is None:
        return None
    if any(getattr(earlier, name) != getattr(transfer, name) for name in SAME_MONEY):
        raise IdempotencyMismatch("This key was used before for another transfer.")
    return earlier


def _resolution(hold: Transfer, *, kind: Transfer.Kind, amount_micros: int, code: str, reason: str = "") -> Transfer:
    if hold.kind != Transfer.Kind.PENDING:
        raise Conflict("Only a hold can be captured or released.")
    return Transfer(
        kind=kind,
        debit_id=hold.debit_id,
        credit_id=hold.credit_id,
        amount_micros=amount_micros,
        hold=hold,
        key=f"{code}:{hold.pk}",
        code=code,
        reference=hold.reference,
        price_id=hold.price_id,
        reason=reason,
    )


def _resolve(hold: Transfer, resolution: Transfer, effect: Effect) -> Transfer:
    """Write the one resolution of a hold; UNIQUE(hold) decides the race of capture against release."""
    try:
        return _write(resolution, hold.debit, effect)
    except IntegrityError:
        winner = Transfer.objects.filter(hold=hold).first()
        if winner is None:
            raise
        done = "captured" if winner.kind == Transfer.Kind.POST else "released"
        raise Conflict(f"This hold was already {done}.") from None


def _wallet_and(user: User, kind: Kind) -> tuple[LedgerAccount, LedgerAccount]:
    """The user's wallet and one account of the house, usually by one query.

    Nothing is cached: an id that a rolled back transaction made would break a foreign key at a later commit.
    """
    rows = LedgerAccount.objects.filter(Q(owner=user) | Q(code=kind.value))
    found = {row.kind: row for row in rows}
    return found.get(Kind.WALLET) or open_wallet(user), found.get(kind) or _house_account(kind)


def _house_account(kind: Kind) -> LedgerAccount:
    return LedgerAccount.objects.get_or_create(code=kind.value, defaults={"kind": kind})[0]


def _check_amount(amount_micros: int, *, maximum: int = MAX_AMOUNT) -> None:
    if not isinstance(amount_micros, int) or not 0 < amount_micros <= maximum:
        raise InvalidInput.of("amount_micros", f"The amount must be from 1 to {maximum} micro-USD.")


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or "\0" in reason:
        raise InvalidInput.of("reason", f"A reason has 1 to {MAX_REASON} characters and no NUL.")
