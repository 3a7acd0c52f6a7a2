"""How a transfer is written: with its effect on the wallet and its statement line, once for each key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from accounts.errors import Conflict, IdempotencyMismatch, InsufficientCredit, InvalidInput
from accounts.ledger import budgets
from accounts.ledger.reading import fail_closed
from accounts.models import MAX_AMOUNT, Entry, LedgerAccount, Transfer, User
from accounts.money import format_usd

Kind = LedgerAccount.Kind
MAX_REASON = 200  # characters
CLOCKS_APART = timedelta(minutes=1)
ABOVE_FLOOR = "ledger_account_above_floor"  # the constraint behind the conditional UPDATE, should that ever fail
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
    "budget_id",
)


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


@fail_closed()
def open_wallet(user: User) -> LedgerAccount:
    """The user's wallet, which cannot go below zero; called in the transaction that creates the user."""
    wallet, _ = LedgerAccount.objects.get_or_create(
        owner=user,
        defaults={"code": f"wallet:{user.public_id}", "kind": Kind.WALLET, "floor": 0, "is_tracked": True},
    )
    return wallet


def write(
    transfer: Transfer,
    wallet: LedgerAccount | None = None,
    effect: Effect | None = None,
    *,
    also: Callable[[], None] | None = None,
    api_key: UUID | None = None,
) -> Transfer:
    """Insert the transfer with its effect on the wallet, once for each key.

    `also` is what else it changes, in the same transaction and after the wallet: an API key's budget, for instance.
    `api_key` is the public id of the API key that asked, for the line.
    """
    try:
        with transaction.atomic():
            if wallet is None or effect is None:
                transfer.save(force_insert=True)
            else:
                _write_with_line(transfer, wallet, effect, api_key)
            if also is not None:
                also()
    except (InsufficientCredit, InvalidInput):
        # What this very call took when it came the first time may be what is missing now.
        if earlier := find_by_key(transfer):
            return earlier
        raise
    except IntegrityError as error:
        if earlier := find_by_key(transfer):
            return earlier
        if wallet is not None and ABOVE_FLOOR in str(error):
            raise _refusal(transfer, wallet, effect or Effect()) from error
        raise
    return transfer


def _has_room(effect: Effect) -> Q:
    """Wallets that stay above their floor, and countable, after `effect`."""
    needed = F("floor") + F("debits_posted") + F("debits_pending") + (effect.pending - effect.posted)
    is_covered = Q(floor__isnull=True) | Q(credits_posted__gte=needed)
    return is_covered & Q(credits_posted__lte=MAX_AMOUNT - effect.credits)


def _write_with_line(transfer: Transfer, wallet: LedgerAccount, effect: Effect, api_key: UUID | None) -> None:
    """The wallet is changed first: its lock puts its movements in a line, and each gets its time in it."""
    row = _change(transfer, wallet, effect)
    transfer.created_at = _next_moment(row)
    transfer.save(force_insert=True)
    _add_line(transfer, row, effect, api_key)


def apply(transfer: Transfer, account: LedgerAccount, effect: Effect) -> None:
    """Change one more tracked account by a transfer that is written. Raises InsufficientCredit, InvalidInput."""
    _add_line(transfer, _change(transfer, account, effect), effect, None)


def _add_line(transfer: Transfer, row: LedgerAccount, effect: Effect, api_key: UUID | None) -> None:
    Entry.objects.create(
        transfer=transfer,
        account=row,
        version=row.version,
        posted_delta=effect.posted,
        pending_delta=effect.pending,
        posted_after=row.credits_posted - row.debits_posted,
        pending_after=row.debits_pending,
        api_key=api_key,
        created_at=transfer.created_at,
    )


def _change(transfer: Transfer, wallet: LedgerAccount, effect: Effect) -> LedgerAccount:
    """The wallet after the effect, with `last_line_at`. Raises InsufficientCredit, InvalidInput."""
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
        raise _refusal(transfer, wallet, effect)
    last = Entry.objects.filter(account=OuterRef("pk"), version=OuterRef("version") - 1).values("created_at")
    # Its lock is ours until the commit, so this is the version that we made.
    return wallets.annotate(last_line_at=Subquery(last)).get()


def _next_moment(wallet: LedgerAccount) -> datetime:
    """The time of the wallet's next line, after that of its last one, so that days follow the numbers of the lines.

    Clocks of several machines are a little apart. One that was far ahead has to be put up with: lines that follow it
    for hours would all be of the wrong day.
    """
    now, last = timezone.now(), wallet.last_line_at  # type: ignore[attr-defined]
    is_behind = last is not None and now <= last <= now + CLOCKS_APART
    return last + timedelta(microseconds=1) if is_behind else now


def _refusal(transfer: Transfer, wallet: LedgerAccount, effect: Effect) -> InsufficientCredit | InvalidInput:
    if effect.posted >= effect.pending:
        return InvalidInput.of("amount_micros", "The wallet would hold more than the ledger can count exactly.")
    row = LedgerAccount.objects.get(pk=wallet.pk)
    available = format_usd(row.credits_posted - row.debits_posted - row.debits_pending)
    required = format_usd(transfer.amount_micros)
    return InsufficientCredit(
        f"This {'costs' if effect.pending else 'takes'} {required} USD and {available} USD is available.",
        available=available,
        required=required,
        held=format_usd(row.debits_pending),
    )


def find_by_key(transfer: Transfer) -> Transfer | None:
    """The transfer that an earlier call wrote with this key. Raises IdempotencyMismatch when it moved other money."""
    earlier = Transfer.objects.filter(key=transfer.key).first()
    if earlier is None:
        return None
    if any(getattr(earlier, name) != getattr(transfer, name) for name in SAME_MONEY):
        raise IdempotencyMismatch("This key was used before for another transfer.")
    return earlier


def resolution_of(hold: Transfer, *, kind: Transfer.Kind, amount_micros: int, code: str, reason: str = "") -> Transfer:
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


def key_of(transfer: Transfer) -> UUID | None:
    """The API key on the line of a transfer."""
    return Entry.objects.filter(transfer=transfer).values_list("api_key", flat=True).first()


def resolve(hold: Transfer, resolution: Transfer, effect: Effect) -> Transfer:
    """Write the one resolution of a hold; UNIQUE(hold) decides the race of capture against release."""
    change_budget = None
    if hold.budget_id is not None:
        change_budget = partial(budgets.settle, hold.budget_id, held_micros=effect.pending, spent_micros=effect.debits)
    try:
        return write(resolution, hold.debit, effect, also=change_budget, api_key=key_of(hold))
    except IntegrityError:
        winner = Transfer.objects.filter(hold=hold).first()
        if winner is None:
            raise
        done = "captured" if winner.kind == Transfer.Kind.POST else "released"
        raise Conflict(f"This hold was already {done}.") from None


def wallet_and(user: User, kind: Kind) -> tuple[LedgerAccount, LedgerAccount]:
    """The user's wallet and one account of the house, usually by one query.

    Nothing is cached: an id that a rolled back transaction made would break a foreign key at a later commit.
    """
    rows = LedgerAccount.objects.filter(Q(owner=user) | Q(code=kind.value))
    found = {row.kind: row for row in rows}
    return found.get(Kind.WALLET) or open_wallet(user), found.get(kind) or house_account(kind)


def house_account(kind: Kind) -> LedgerAccount:
    return LedgerAccount.objects.get_or_create(code=kind.value, defaults={"kind": kind})[0]


def check_amount(amount_micros: int, *, maximum: int = MAX_AMOUNT) -> None:
    if type(amount_micros) is not int or not 0 < amount_micros <= maximum:
        raise InvalidInput.of("amount_micros", f"The amount must be from 1 to {maximum} micro-USD.")


def check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or "\0" in reason:
        raise InvalidInput.of("reason", f"A reason has 1 to {MAX_REASON} characters and no NUL.")
