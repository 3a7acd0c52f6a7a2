"""The verbs that move money: grant, reserve, capture, release, refund. Amounts are integer micro-USD.

Each verb writes in one transaction, in this order: a conditional UPDATE of the wallet, which nothing can overspend
because the condition and the change are one statement; the transfer; the account's next statement line, which has the
transfer's time. A key makes a verb safe to repeat: the same key with the same money gives the same transfer back (the
words and the time limit may differ), with other money IdempotencyMismatch. A database that does not answer is
ServiceUnavailable, and nothing half is left.
"""

import re
from datetime import datetime
from functools import partial

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.errors import Conflict, IdempotencyMismatch, InvalidInput
from accounts.ledger import budgets
from accounts.ledger.reading import fail_closed, left_of
from accounts.ledger.writing import (
    Effect,
    Kind,
    check_amount,
    check_reason,
    find_by_key,
    house_account,
    key_of,
    resolution_of,
    resolve,
    wallet_and,
    write,
)
from accounts.models import ApiKey, LedgerAccount, Price, Transfer, User
from accounts.money import format_usd

# How it ended with a cost that was in suspense, and the code of the transfer that says so.
VERDICT_CODES = {"billed": "cost_billed", "not_billed": "cost_not_billed"}
PROVIDER = re.compile(r"[a-z0-9-]{1,30}", re.ASCII)
EVENT_ID = re.compile(r"[!-~]{1,150}", re.ASCII)


@fail_closed()
def grant(
    *, user: User, amount_micros: int, reason: str, key: str, actor: str = "system", code: str = "grant"
) -> Transfer:
    """Money from outside into the wallet. Raises InvalidInput."""
    check_amount(amount_micros)
    check_reason(reason)
    with transaction.atomic():
        wallet, external = wallet_and(user, Kind.EXTERNAL)
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
        return write(transfer, wallet, Effect(credits=amount_micros))


def top_up(*, user: User, amount_micros: int, provider: str, event_id: str) -> Transfer:
    """Money that a payment provider has received: the verb for its webhook, which may come many times and all at once.

    One event of a provider is one grant. Raises IdempotencyMismatch for the same event with another user or amount,
    InvalidInput.
    """
    if not PROVIDER.fullmatch(provider):
        raise InvalidInput.of("provider", "A provider is 1 to 30 lower-case letters, digits and hyphens.")
    if not EVENT_ID.fullmatch(event_id):
        raise InvalidInput.of("event_id", "An event id is 1 to 150 printable ASCII characters without spaces.")
    return grant(
        user=user,
        amount_micros=amount_micros,
        reason=f"top-up by {provider}",
        key=f"topup:{provider}:{event_id}",
        actor=provider,
        code="topup",
    )


@fail_closed()
def reserve(
    *,
    user: User,
    amount_micros: int,
    reference: str,
    key: str,
    price: Price,
    expires_at: datetime,
    api_key: ApiKey | None = None,
) -> Transfer:
    """Hold money for work that is about to start; needs the open transaction in which the work is written down.

    It is held in the budget of `api_key` as well, if that key has one, or in neither. Raises InsufficientCredit and
    KeyBudgetExceeded, after which the caller's transaction holds nothing of it.
    """
    assert connection.in_atomic_block, "reserve() outside a transaction could hold money for work that nobody knows"
    check_amount(amount_micros)
    now = timezone.now()
    wallet, revenue = wallet_and(user, Kind.REVENUE)
    budget_id, change_budget = budgets.id_of(api_key, now), None
    if api_key is not None and budget_id is not None:
        change_budget = partial(
            budgets.hold, api_key, budget_id=budget_id, amount_micros=amount_micros, wallet=wallet, at=now
        )
    transfer = Transfer(
        kind=Transfer.Kind.PENDING,
        debit=wallet,
        credit=revenue,
        amount_micros=amount_micros,
        key=key,
        code="hold",
        reference=reference,
        price=price,
        budget_id=budget_id,
        expires_at=expires_at,
    )
    key_id = api_key.public_id if api_key else None
    return write(transfer, wallet, Effect(pending=amount_micros), also=change_budget, api_key=key_id)


@fail_closed()
def capture(*, hold: Transfer, amount_micros: int | None = None) -> Transfer:
    """Take the hold, or `amount_micros` of it; the rest is available again at once.

    Raises Conflict when the hold was released, InvalidInput for an amount that is not 1 up to the hold.
    """
    amount = hold.amount_micros if amount_micros is None else amount_micros
    check_amount(amount, maximum=hold.amount_micros)
    post = resolution_of(hold, kind=Transfer.Kind.POST, amount_micros=amount, code="capture")
    return resolve(hold, post, Effect(debits=amount, pending=-hold.amount_micros))


@fail_closed()
def release(*, hold: Transfer, reason: str) -> Transfer:
    """Give the whole hold back. Raises Conflict when it was captured."""
    void = resolution_of(hold, kind=Transfer.Kind.VOID, amount_micros=0, code="release", reason=reason)
    return resolve(hold, void, Effect(pending=-hold.amount_micros))


@fail_closed()
def refund(*, transfer: Transfer, amount_micros: int, actor: str, reason: str, key: str) -> Transfer:
    """Give back all or part of a capture. Raises Conflict when its refunds would exceed it, InvalidInput."""
    check_amount(amount_micros)
    check_reason(reason)
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
        if earlier := find_by_key(compensation):
            return earlier
        refunded = transfer.refunded_by.aggregate(total=Sum("amount_micros", default=0))["total"]
        if refunded + amount_micros > transfer.amount_micros:
            raise Conflict(
                f"Of {format_usd(transfer.amount_micros)} USD captured, {format_usd(refunded)} USD is refunded already."
            )
        change_budget, budget_id = None, transfer.hold.budget_id if transfer.hold else None
        if budget_id is not None:
            change_budget = partial(budgets.settle, budget_id, spent_micros=-amount_micros)
        effect = Effect(credits=amount_micros, refunds=amount_micros)
        return write(compensation, wallet, effect, also=change_budget, api_key=key_of(transfer))


@fail_closed()
def adjust(*, user: User, amount_micros: int, actor: str, reason: str, key: str, reference: str = "") -> Transfer:
    """Correct what a wallet has, by a transfer in either direction; an amount below zero takes away.

    `reference` names what is corrected, if that has an id. Raises InsufficientCredit, InvalidInput.
    """
    check_amount(abs(amount_micros) if type(amount_micros) is int else amount_micros)
    check_reason(reason)
    with transaction.atomic():
        wallet, external = wallet_and(user, Kind.EXTERNAL)
        debit, credit = (external, wallet) if amount_micros > 0 else (wallet, external)
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=debit,
            credit=credit,
            amount_micros=abs(amount_micros),
            key=key,
            code="adjustment",
            reference=reference,
            actor=actor,
            reason=reason,
        )
        # What is taken away was not spent: it lessens what came in.
        return write(transfer, wallet, Effect(credits=amount_micros))


@fail_closed()
def forfeit(*, user: User, actor: str, reason: str) -> Transfer | None:
    """Take all that is available out of a wallet that nobody will use again; None when there was nothing.

    What is held stays. Safe to repeat: a second call finds nothing, or what came since.
    """
    check_reason(reason)
    with transaction.atomic():
        wallet, external = wallet_and(user, Kind.EXTERNAL)
        # Locked, so that a refund at the same moment is taken too or comes after it, and never half.
        wallet = LedgerAccount.objects.select_for_update(no_key=True).get(pk=wallet.pk)
        available = wallet.credits_posted - wallet.debits_posted - wallet.debits_pending
        if available <= 0:
            return None
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=wallet,
            credit=external,
            amount_micros=available,
            key=f"forfeit:{wallet.pk}:{wallet.version}",
            code="forfeit",
            actor=actor,
            reason=reason,
        )
        return write(transfer, wallet, Effect(credits=-available))  # it was not spent, as with an adjustment


@fail_closed()
def expire(*, granted: Transfer, reason: str) -> Transfer | None:
    """Take what is left of a grant whose time is over out of its wallet (left_of); None when it is all spent.

    What is held counts as spent, also when it comes back later. Safe to repeat: the first time decides.
    """
    check_reason(reason)
    with transaction.atomic():
        # Locked as in forfeit: what is left stays so until it is taken.
        wallet = LedgerAccount.objects.select_for_update(no_key=True).get(pk=granted.credit_id)
        key = f"expiry:{granted.pk}"
        if earlier := Transfer.objects.filter(key=key).first():
            return earlier
        left = left_of(granted)
        if not left:
            return None
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=wallet,
            credit=house_account(Kind.EXTERNAL),
            amount_micros=left,
            key=key,
            code="expiry",
            actor="system",
            reason=reason,
        )
        return write(transfer, wallet, Effect(credits=-left))  # it was not spent, as with an adjustment


@fail_closed()
def record_cost(*, amount_micros: int, reference: str, key: str, price: Price, is_certain: bool) -> Transfer:
    """What an upstream call cost us; a call whose outcome nobody saw goes to suspense."""
    check_amount(amount_micros)
    with transaction.atomic():
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=house_account(Kind.PROVIDER),
            credit=house_account(Kind.EXPENSE if is_certain else Kind.SUSPENSE),
            amount_micros=amount_micros,
            key=key,
            code="cost" if is_certain else "suspense",
            reference=reference,
            price=price,
        )
        return write(transfer)


@fail_closed()
def settle_suspense(*, cost: Transfer, was_billed: bool, actor: str, reason: str, key: str) -> Transfer:
    """Take an uncertain cost out of suspense: an expense if the upstream has billed it, else back to the provider.

    Safe to repeat. Raises Conflict for a transfer that is not in suspense and for the other verdict, InvalidInput.
    """
    check_reason(reason)
    if cost.code != "suspense":
        raise Conflict("Only a cost that was booked to suspense can be settled.")
    transfer = Transfer(
        kind=Transfer.Kind.DIRECT,
        debit_id=cost.credit_id,
        credit=house_account(Kind.EXPENSE) if was_billed else cost.debit,
        amount_micros=cost.amount_micros,
        key=key,
        code=VERDICT_CODES["billed" if was_billed else "not_billed"],
        reference=cost.reference,
        price_id=cost.price_id,
        actor=actor,
        reason=reason,
    )
    try:
        return write(transfer)
    except IdempotencyMismatch:
        raise Conflict("This cost was settled the other way before.") from None
