"""The audit of money against jobs and pictures (TRUST L12); the ledger's own invariants are in accounts/audit.py."""

from collections.abc import Iterator

from django.db.models import Count, F, Q

from accounts.audit import Violation, audit_ledger, snapshot
from accounts.models import Transfer
from generations.models import TERMINAL, Attempt, Generation, Output, Status


def audit() -> list[Violation]:
    """Every violation by name, of the ledger alone and of the ledger against the generations.

    All of it at one moment of the database: between two queries a server that works would look like a violation.
    """
    with snapshot():
        return [*audit_ledger(), *_audit_generations()]


def _audit_generations() -> Iterator[Violation]:
    captures = Q(hold__resolution__kind=Transfer.Kind.POST)
    succeeded = Generation.objects.filter(status=Status.SUCCEEDED)
    ended_empty = Generation.objects.filter(status__in=(Status.FAILED, Status.CANCELED))
    checks = {
        "succeeded_without_capture": succeeded.exclude(captures),
        "charged_is_not_captured": succeeded.filter(captures).exclude(
            charged_micros=F("hold__resolution__amount_micros")
        ),
        "charged_without_picture": succeeded.annotate(pictures=Count("outputs")).filter(pictures=0),
        "charged_is_not_price_times_pictures": succeeded.annotate(pictures=Count("outputs")).exclude(
            charged_micros=F("pictures") * F("price__amount_micros")
        ),
        "captured_without_success": ended_empty.filter(captures),
        "ended_with_open_hold": Generation.objects.filter(status__in=TERMINAL, hold__resolution__isnull=True),
        "charged_without_success": ended_empty.exclude(charged_micros=0),
        "unfinished_without_hold": Generation.objects.unfinished().filter(hold__resolution__isnull=False),
        "ended_with_open_attempt": Generation.objects.filter(status__in=TERMINAL, attempts__outcome=Attempt.SENT),
        "ended_with_lease": Generation.objects.filter(status__in=TERMINAL).exclude(lease_owner=""),
        "hold_of_another_generation": Generation.objects.exclude(hold__debit__owner=F("user")),
    }
    for name, generations in checks.items():
        for public_id in generations.values_list("public_id", flat=True).distinct().order_by().iterator():
            yield Violation(name=name, detail=f"generation {public_id}")
    # The reference is text here and a uuid there, so the two are compared in Python; a stream, not a list.
    pairs = Generation.objects.values_list("public_id", "hold__reference").iterator()
    for public_id, reference in pairs:
        if str(public_id) != reference:
            yield Violation(name="hold_of_another_generation", detail=f"generation {public_id}")
    strangers = Output.objects.exclude(image__owner=F("generation__user"))
    for public_id in strangers.values_list("generation__public_id", flat=True):
        yield Violation(name="picture_of_another_user", detail=f"generation {public_id}")
    known = set(Generation.objects.values_list("hold_id", flat=True).iterator())
    open_holds = Transfer.objects.filter(kind=Transfer.Kind.PENDING, resolution__isnull=True)
    for hold_id in open_holds.values_list("pk", flat=True).iterator():
        if hold_id not in known:
            yield Violation(name="hold_without_generation", detail=f"transfer {hold_id}")
