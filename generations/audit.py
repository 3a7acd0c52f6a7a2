"""The audit of money against jobs and pictures (TRUST L12); the ledger's own invariants are in accounts/audit.py."""

from collections.abc import Iterator

from django.db.models import Count, F, Q

from accounts import closed_days
from accounts.audit import Violation, audit_ledger, snapshot
from accounts.ledger import VERDICT_CODES
from accounts.models import Transfer
from generations.models import TERMINAL, Attempt, DraftPreview, Generation, Output, Status

CHARGED = Count("outputs", filter=Q(outputs__is_draft=False))


def audit() -> list[Violation]:
    """Every violation by name, of the ledger alone and of the ledger against the generations.

    All of it at one moment of the database: between two queries a server that works would look like a violation.
    """
    with snapshot():
        return [*audit_ledger(), *_audit_days(), *_audit_generations()]


def _audit_days() -> Iterator[Violation]:
    """What is kept of a day that is over is what the ledger says of it."""
    for day in closed_days.wrong_days():
        yield Violation(name="closed_day_is_not_the_ledger", detail=day.isoformat())


def _audit_verdicts() -> Iterator[Violation]:
    """An attempt's verdict and the transfer that moved its cost out of suspense are there together or not at all."""
    verdicts = Attempt.objects.filter(cost_verdict__in=VERDICT_CODES).values_list("public_id", "cost_verdict")
    judged = {f"verdict:{public_id}": VERDICT_CODES[verdict] for public_id, verdict in verdicts.iterator()}
    moved = dict(Transfer.objects.filter(code__in=VERDICT_CODES.values()).values_list("key", "code").iterator())
    for key in sorted(judged.keys() | moved.keys()):
        if judged.get(key) != moved.get(key):
            yield Violation(name="verdict_without_transfer", detail=key.replace("verdict:", "attempt "))


def _audit_generations() -> Iterator[Violation]:
    captures = Q(hold__resolution__kind=Transfer.Kind.POST)
    paid_for = Generation.objects.paid_for()
    reused = Generation.objects.filter(reused_from__isnull=False)
    succeeded = paid_for.filter(status=Status.SUCCEEDED)
    ended_empty = paid_for.filter(status__in=(Status.FAILED, Status.CANCELED))
    checks = {
        "succeeded_without_capture": succeeded.exclude(captures),
        "charged_is_not_captured": succeeded.filter(captures).exclude(
            charged_micros=F("hold__resolution__amount_micros")
        ),
        "charged_without_picture": succeeded.annotate(pictures=CHARGED).filter(pictures=0),
        "charged_is_not_price_times_pictures": succeeded.annotate(pictures=CHARGED).exclude(
            charged_micros=F("pictures") * F("price__amount_micros")
        ),
        "captured_without_success": ended_empty.filter(captures),
        "ended_with_open_hold": paid_for.filter(status__in=TERMINAL, hold__resolution__isnull=True),
        "charged_without_success": ended_empty.exclude(charged_micros=0),
        "unfinished_without_hold": Generation.objects.unfinished().filter(hold__resolution__isnull=False),
        "ended_with_open_attempt": Generation.objects.filter(status__in=TERMINAL, attempts__outcome=Attempt.SENT),
        "ended_with_lease": Generation.objects.filter(status__in=TERMINAL).exclude(lease_owner=""),
        "ended_with_draft_preview": Generation.objects.filter(
            status__in=TERMINAL, attempts__in=DraftPreview.objects.values("attempt")
        ),
        "hold_of_another_generation": paid_for.exclude(hold__debit__owner=F("user")),
        "reused_with_money": reused.filter(Q(hold__isnull=False) | ~Q(charged_micros=0) | ~Q(quoted_micros=0)),
        "reused_with_pictures_of_its_own": reused.filter(outputs__isnull=False),
        "reused_from_another_user": reused.exclude(reused_from__user=F("user")),
        "reused_from_no_picture": reused.filter(status=Status.SUCCEEDED).exclude(
            reused_from__status=Status.SUCCEEDED, reused_from__reused_from=None
        ),
        "reused_left_behind": reused.unfinished().filter(reused_from__status__in=TERMINAL),
    }
    for name, generations in checks.items():
        for public_id in generations.values_list("public_id", flat=True).distinct().order_by().iterator():
            yield Violation(name=name, detail=f"generation {public_id}")
    # The reference is text here and a uuid there, so the two are compared in Python; a stream, not a list.
    pairs = paid_for.values_list("public_id", "hold__reference").iterator()
    for public_id, reference in pairs:
        if str(public_id) != reference:
            yield Violation(name="hold_of_another_generation", detail=f"generation {public_id}")
    strangers = Output.objects.exclude(image__owner=F("generation__user"))
    for public_id in strangers.values_list("generation__public_id", flat=True):
        yield Violation(name="picture_of_another_user", detail=f"generation {public_id}")
    yield from _audit_verdicts()
    known = set(Generation.objects.values_list("hold_id", flat=True).iterator())
    open_holds = Transfer.objects.filter(kind=Transfer.Kind.PENDING, resolution__isnull=True)
    for hold_id in open_holds.values_list("pk", flat=True).iterator():
        if hold_id not in known:
            yield Violation(name="hold_without_generation", detail=f"transfer {hold_id}")
