"""An earlier identical wish answers a later one: same user, same text but for white space, same parameters.

The later one is a generation of its own, without calls, hold or charge, that shows the earlier one's pictures. If those
are still being made it waits, and ends as the earlier one does (settlement.py).
"""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from accounts.closing import refuse_closed
from accounts.models import ApiKey, User
from gallery.models import Image
from generations import events
from generations.models import Generation, GenerationQuerySet, Status
from generations.parents import Parent, columns_of
from generations.spec import GenerationSpec

# What was refused or shut away is not given out once more, also while an appeal against that is open.
_REFUSED = (Image.ReviewStatus.REJECTED, Image.ReviewStatus.APPEALED, Image.ReviewStatus.QUARANTINED)
KEPT = Count(
    "outputs",
    filter=Q(outputs__is_draft=False, outputs__image__trashed_at=None) & ~Q(outputs__image__review_status__in=_REFUSED),
)
CANDIDATES = 20


def find_reusable(*, user: User, spec: GenerationSpec, ignore_case: bool = False) -> Generation | None:
    """The newest generation that has all of this wish's pictures, none in the trash, refused or shut away; else one
    that is making them.

    With `ignore_case` the texts may differ in case too: good enough for an offer to a person.
    """
    alike = Generation.objects.paid_for().filter(user=user, likeness=spec.likeness)
    if not ignore_case:
        alike = alike.filter(fingerprint=spec.fingerprint)
    return _complete(alike, spec) or _in_progress(alike)


def _complete(alike: GenerationQuerySet, spec: GenerationSpec) -> Generation | None:
    # The newest ones only: somebody who throws away all of a hundred pictures of one wish wants another one.
    newest = alike.filter(status=Status.SUCCEEDED).order_by("-pk").values("pk")[:CANDIDATES]
    kept = _has_all(Generation.objects.filter(pk__in=list(newest.values_list("pk", flat=True))), spec)
    return kept.order_by("-pk").first()


def _has_all(generations: GenerationQuerySet, spec: GenerationSpec) -> GenerationQuerySet:
    return generations.annotate(kept=KEPT).filter(kept=spec.count)


def _in_progress(alike: GenerationQuerySet) -> Generation | None:
    return alike.unfinished().filter(cancel_requested_at=None).order_by("-pk").first()


def answer(
    *,
    user: User,
    spec: GenerationSpec,
    source: str,
    api_key: ApiKey | None,
    parent: Parent | None,
    rule_hits: list[dict[str, Any]],
    remember: Callable[[Generation], None],
) -> Generation | None:
    """Write down a generation that shows what an identical wish has brought or will bring; None if there is none.

    `remember` is called with it in the same transaction.
    """
    found = find_reusable(user=user, spec=spec)
    if found is None:
        return None
    with transaction.atomic():
        # Locked against its settlement, which would not see a row that is written beside it. On PostgreSQL this waits
        # for a settlement under way, and then sees its end.
        origin = Generation.objects.select_for_update(no_key=True).get(pk=found.pk)
        if origin.status not in (Status.SUCCEEDED, Status.QUEUED, Status.RUNNING) or (
            not origin.is_terminal and origin.cancel_requested_at
        ):
            return None
        if origin.is_terminal and not _has_all(Generation.objects.filter(pk=origin.pk), spec).exists():
            return None  # its picture was refused or thrown away at this very moment
        generation = _write(origin, spec, source, api_key, parent, rule_hits)
        refuse_closed(user)
        remember(generation)
        transaction.on_commit(lambda: events.publish(generation.pk))
    return generation


def _write(
    origin: Generation,
    spec: GenerationSpec,
    source: str,
    api_key: ApiKey | None,
    parent: Parent | None,
    rule_hits: list[dict[str, Any]],
) -> Generation:
    now = timezone.now()
    is_there = origin.status == Status.SUCCEEDED
    return Generation.objects.create(
        user_id=origin.user_id,
        api_key=api_key,
        source=source,
        kind=origin.kind,
        model=origin.model,
        prompt=spec.prompt,
        spec=spec.canonical(),
        rule_hits=rule_hits,
        fingerprint=spec.fingerprint,
        likeness=spec.likeness,
        status=Status.SUCCEEDED if is_there else Status.RUNNING,
        stage="done" if is_there else "sharing",
        text=origin.text,
        reused_from=origin,
        **columns_of(parent),
        price_id=origin.price_id,
        quoted_micros=0,
        quota_window=origin.quota_window,
        created_at=now,
        queued_at=now,
        next_run_at=now,
        woken_at=now,
        started_at=now if is_there else origin.started_at,
        finished_at=now if is_there else None,
    )
