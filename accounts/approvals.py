"""Money that the staff moves: grants, refunds and adjustments, above a threshold only with a second person (TRUST L11).

Up to LEDGER_SECOND_PERSON_USD the ledger's verb runs at once. Above it a request is written down; the verb runs in the
transaction in which somebody else approves. Shell commands are not bound by it: whoever has the shell has the database.
"""

from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import ledger
from accounts.errors import Conflict, Forbidden
from accounts.models import LedgerAccount, MoneyDecision, MoneyRequest, Transfer, User
from accounts.money import parse_usd

log = structlog.get_logger(__name__)

PERMISSION = "accounts.add_transfer"
Verb = MoneyRequest.Verb


def grant(*, user: User, amount_micros: int, actor: User, reason: str, token: UUID) -> Transfer | MoneyRequest:
    """Credit for a person, at once or when it is approved. With one `token` it is one grant, however often it is sent.

    Raises as ledger.grant does, and Forbidden.
    """
    wallet = ledger.open_wallet(user)
    return _ask(MoneyRequest(id=token, verb=Verb.GRANT, wallet=wallet, amount_micros=amount_micros), actor, reason)


def refund(*, capture: Transfer, amount_micros: int, actor: User, reason: str, token: UUID) -> Transfer | MoneyRequest:
    """All or part of a capture, as `grant`. Raises as ledger.refund does, and Forbidden."""
    if capture.kind != Transfer.Kind.POST:
        raise Conflict("Only a capture can be refunded.")
    request = MoneyRequest(
        id=token, verb=Verb.REFUND, wallet=capture.debit, capture=capture, amount_micros=amount_micros
    )
    return _ask(request, actor, reason)


def adjust(*, user: User, amount_micros: int, actor: User, reason: str, token: UUID) -> Transfer | MoneyRequest:
    """A correction in either direction, as `grant`. Raises as ledger.adjust does, and Forbidden."""
    wallet = ledger.open_wallet(user)
    return _ask(MoneyRequest(id=token, verb=Verb.ADJUSTMENT, wallet=wallet, amount_micros=amount_micros), actor, reason)


def decide(*, request: MoneyRequest, actor: User, is_approved: bool, reason: str) -> Transfer | None:
    """Approve what somebody else has asked for, which does it, or decline it.

    Raises Forbidden for who asked, Conflict when it was decided before, and as the verb does: then it goes on waiting.
    """
    _check_may(actor)
    if actor.pk == request.asked_by_id:
        raise Forbidden("You have asked for this yourself; somebody else must decide.", remedy="Ask a colleague.")
    ledger.check_reason(reason)
    try:
        with transaction.atomic():
            # UNIQUE(request): of several decisions at once one is written, and only with it the verb runs.
            MoneyDecision.objects.create(
                request=request,
                is_approved=is_approved,
                asked_by_id=request.asked_by_id,
                decided_by=actor,
                reason=reason,
            )
            transfer = _carry_out(request, key=f"request:{request.pk.hex}") if is_approved else None
    except IntegrityError:
        earlier = MoneyDecision.objects.filter(request=request).first()
        if earlier is None:
            raise
        raise Conflict(f"This was {'approved' if earlier.is_approved else 'declined'} before.") from None
    log.info("money_decided", request=str(request.pk), approved=is_approved, actor=str(actor.public_id))
    return transfer


def _ask(request: MoneyRequest, actor: User, reason: str) -> Transfer | MoneyRequest:
    _check_may(actor)
    request.asked_by, request.reason = actor, reason
    key = f"admin:{request.pk}"
    if _is_large(request):
        return _write_down(request)
    return _carry_out(request, key=key)


def _is_large(request: MoneyRequest) -> bool:
    amount = request.amount_micros
    return type(amount) is int and abs(amount) > threshold_micros()


def threshold_micros() -> int:
    """The largest change that needs nobody else, in micro-USD."""
    return parse_usd(settings.LEDGER_SECOND_PERSON_USD)


def _write_down(request: MoneyRequest) -> MoneyRequest:
    with transaction.atomic():
        # The row of the wallet puts those in a line that are sent twice at once.
        LedgerAccount.objects.select_for_update(no_key=True).get(pk=request.wallet_id)
        earlier = MoneyRequest.objects.filter(pk=request.pk).first()
        if earlier is not None:
            if _substance(earlier) != _substance(request):
                raise Conflict("This form was sent before with something else in it.", remedy="Open it again.")
            return earlier
        with transaction.atomic():  # a rehearsal, so that nobody is asked to approve what cannot be done
            _carry_out(request, key=f"rehearsal:{request.pk.hex}")
            transaction.set_rollback(True)
        request.save(force_insert=True)
    log.info("money_requested", request=str(request.pk), verb=request.verb, actor=str(request.asked_by.public_id))
    return request


def _substance(request: MoneyRequest) -> tuple[object, ...]:
    return request.verb, request.wallet_id, request.capture_id, request.amount_micros, request.asked_by_id


def _carry_out(request: MoneyRequest, *, key: str) -> Transfer:
    """Run the verb in the name of who asked; who approved stands in the decision."""
    owner = request.wallet.owner
    assert owner is not None, "money is asked for wallets only"
    amount, actor, reason = request.amount_micros, str(request.asked_by.public_id), request.reason
    if request.verb == Verb.GRANT:
        return ledger.grant(user=owner, amount_micros=amount, actor=actor, reason=reason, key=key)
    if request.verb == Verb.REFUND:
        assert request.capture is not None, "a refund names its capture"
        return ledger.refund(transfer=request.capture, amount_micros=amount, actor=actor, reason=reason, key=key)
    return ledger.adjust(user=owner, amount_micros=amount, actor=actor, reason=reason, key=key)


def _check_may(actor: User) -> None:
    if not (actor.is_active and actor.is_staff and actor.has_perm(PERMISSION)):
        raise Forbidden("Money is moved by staff who have the permission to add transfers.")


def was_sent(token: UUID) -> bool:
    """Whether a form with this token has moved money or asked for it before."""
    return Transfer.objects.filter(key=f"admin:{token}").exists() or MoneyRequest.objects.filter(pk=token).exists()


def find_request(request_id: UUID | str) -> MoneyRequest | None:
    """With everything that its page and its verb read."""
    related = ("wallet__owner", "capture", "asked_by", "decision__decided_by")
    return MoneyRequest.objects.select_related(*related).filter(pk=request_id).first()
