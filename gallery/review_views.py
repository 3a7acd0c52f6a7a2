"""Pages of the reviewers: the desk with its verbs, its settings and the figures; others do not find them."""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.errors import InvalidInput, ServiceError
from accounts.models import User
from gallery import desk
from gallery.models import MAX_NOTE_CHARS, Reason, Review
from gallery.review import claims, decisions, exposure, figures
from gallery.review.decisions import Item, Result
from gallery.review.exposure import Seat

SKIPPED = "review_skipped"  # in the session: pictures that were put off, the latest last
MAX_SKIPPED = 50
UNDOABLE = "review_undo"  # in the session: the decision that the next page offers to take back
ALSO = re.compile(r"(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}):(?P<version>[0-9]{1,9})")
View = Callable[..., HttpResponseBase]


def for_reviewers(view: View) -> View:
    """Gives the view the reviewer's seat; whoever does not review finds nothing. Failures are JSON for the script."""

    @never_cache
    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        seat = exposure.seat_of(_person(request))
        if seat is None:
            raise Http404
        try:
            return view(request, seat, *args, **kwargs)
        except ServiceError as error:
            if not _is_part(request):
                raise
            body = {"message": error.message, "remedy": error.remedy, "code": error.code}
            return JsonResponse(body, status=error.status)

    return guarded


@for_reviewers
@require_safe
def desk_page(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The first picture that waits and is free; the desk's script gets it alone, and says which ones it has."""
    if _is_part(request):
        skipped = _ids(request.GET.getlist("not"))
        review = desk.next_for(seat, skipped=skipped, only_appeals=_only_appeals(request))
        return _show_part(request, seat, review)
    only_appeals = _only_appeals(request)
    waiting = desk.waiting_for(seat, only_appeals=only_appeals)
    skipped = request.session.get(SKIPPED, [])
    review = desk.claim_of(seat, waiting, skipped=skipped, only_appeals=only_appeals)
    if review is None and skipped:
        request.session[SKIPPED] = []  # what was put off comes back when there is nothing else
        review = desk.claim_of(seat, waiting, only_appeals=only_appeals)
    return _show(request, seat, waiting, review)


@for_reviewers
@require_safe
def desk_item(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """The desk with one picture, which is claimed. Raises ClaimLost and what else a claim does."""
    if _is_part(request):
        return _show_part(request, seat, claims.claim(reviewer=seat.reviewer, image_id=public_id))
    waiting = desk.waiting_for(seat, only_appeals=_only_appeals(request))
    listed = [review for review in waiting if review.image.public_id == public_id]
    review = claims.claim_first(listed, reviewer=seat.reviewer)
    # One that is not in the list, or that somebody holds: the claim itself knows why.
    return _show(request, seat, waiting, review or claims.claim(reviewer=seat.reviewer, image_id=public_id))


def _show_part(request: HttpRequest, seat: Seat, review: Review | None) -> HttpResponse:
    if review is None:
        return HttpResponse(status=204)
    return render(request, "gallery/_exam.html", _exam_context(review, seat))


def _show(request: HttpRequest, seat: Seat, waiting: Sequence[Review], review: Review | None) -> HttpResponse:
    lines = desk.queue_lines(waiting, seat.reviewer)
    context = {
        "reviews": True,
        "lines": lines,
        "only_appeals": _only_appeals(request),
        "oldest": min((line.waits_since for line in lines), default=None),
        "is_cut": len(lines) == desk.IN_LIST,
        "late": sum(line.is_late for line in lines),
        "settings": seat.settings,
        "undoable": request.session.pop(UNDOABLE, None),
        **(_exam_context(review, seat) if review else {}),
    }
    return render(request, "gallery/review.html", context)


def _exam_context(review: Review, seat: Seat) -> dict[str, Any]:
    return {"exam": desk.examine(review, seat), "max_note_chars": MAX_NOTE_CHARS, "now": timezone.now()}


def _only_appeals(request: HttpRequest) -> bool:
    return request.GET.get("only") == "appeals"


@for_reviewers
@require_POST
def decide(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """Approve, refuse, send on or quarantine; then the next picture. With `together` also those like it, as chosen."""
    if "together" in request.POST:
        return _decide_together(request, seat, public_id)
    verb = request.POST.get("verb", "")
    if verb not in decisions.OUTCOMES:
        raise InvalidInput.of("verb", "There is no such decision.")
    step = decisions.decide(
        verb=verb,
        reviewer=seat.reviewer,
        image_id=public_id,
        version=_version(request),
        reason=request.POST.get("reason", "") if verb in ("reject", "quarantine") else "",
        note=request.POST.get("note", ""),
    )
    if _is_part(request):
        return JsonResponse({"version": step.version})
    request.session[UNDOABLE] = [str(public_id), step.version, desk.VERBS[verb]]
    return redirect("gallery:review")


def _decide_together(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """One decision over the picture on the stage and the ticked ones of those that look like it, each on its own."""
    verb = request.POST["together"]
    results = decisions.decide_many(
        verb=verb,
        reviewer=seat.reviewer,
        items=[Item(image_id=public_id, version=_version(request)), *_also(request)],
        reason=request.POST.get("reason", "") if verb == "reject" else "",
        note=request.POST.get("note", ""),
    )
    if _is_part(request):
        return JsonResponse({"results": [_result_body(result) for result in results]})
    done = [result for result in results if result.error is None]
    if done:
        messages.success(request, f"{desk.VERBS[verb]}: {len(done)} of {len(results)}.")
    for message in dict.fromkeys(result.error.message for result in results if result.error):
        messages.error(request, message)
    return redirect("gallery:review")


def _also(request: HttpRequest) -> list[Item]:
    """The ticked ones: each an id and the version that was looked at. Raises InvalidInput."""
    items = []
    for text in request.POST.getlist("also"):
        found = ALSO.fullmatch(text)
        if found is None:
            raise InvalidInput.of("also", "A picture is named by its id and the version that was looked at.")
        items.append(Item(image_id=UUID(found["id"]), version=int(found["version"])))
    return items


def _result_body(result: Result) -> dict[str, Any]:
    return {
        "id": result.image_id,
        "version": result.step.version if result.step else None,
        "error": result.error.message if result.error else None,
    }


@for_reviewers
@require_POST
def undo(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """Take back one's last decision, and show its picture again."""
    step = decisions.undo(reviewer=seat.reviewer, image_id=public_id, version=_version(request))
    if _is_part(request):
        return JsonResponse({"version": step.version})
    return redirect("gallery:review_item", public_id=public_id)


@for_reviewers
@require_POST
def claim(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """Hold the picture longer, as long as somebody works at it."""
    review = claims.claim(reviewer=seat.reviewer, image_id=public_id)
    if _is_part(request):
        left_s = (review.claimed_until - timezone.now()).total_seconds() if review.claimed_until else 0
        return JsonResponse({"left_s": round(left_s), "version": review.version})
    return redirect("gallery:review_item", public_id=public_id)


@for_reviewers
@require_POST
def skip(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """Put a picture off: it is free for others, and comes back when there is nothing else."""
    claims.release(reviewer=seat.reviewer, image_id=public_id)
    skipped = [*request.session.get(SKIPPED, []), str(public_id)]
    request.session[SKIPPED] = skipped[-MAX_SKIPPED:]
    return HttpResponse(status=204) if _is_part(request) else redirect("gallery:review")


@for_reviewers
@require_POST
def back(request: HttpRequest, seat: Seat) -> HttpResponse:
    """To the picture that was put off last."""
    skipped = list(request.session.get(SKIPPED, []))
    if not skipped:
        return redirect("gallery:review")
    request.session[SKIPPED] = skipped[:-1]
    return redirect("gallery:review_item", public_id=skipped[-1])


@for_reviewers
@require_POST
def reveal(request: HttpRequest, seat: Seat, public_id: UUID) -> HttpResponse:
    """Note that a picture was uncovered; answers whether it is time for a break."""
    count = exposure.note_reveal(user=seat.reviewer, image_id=public_id)
    return JsonResponse({"reveals": count, "needs_break": count >= exposure.REVEALS_PER_HOUR})


@for_reviewers
@require_http_methods(["GET", "HEAD", "POST"])
def desk_settings(request: HttpRequest, seat: Seat) -> HttpResponse:
    """How this reviewer wants the desk, and which categories they do not want to see."""
    if request.method == "POST":
        exposure.save_settings(
            user=seat.reviewer,
            blurs="blurs" in request.POST,
            is_grey="is_grey" in request.POST,
            has_single_keys="has_single_keys" in request.POST,
            folds_flagged_prompts="folds_flagged_prompts" in request.POST,
            avoided=request.POST.getlist("avoided"),
        )
        messages.success(request, "Saved.")
        return redirect("gallery:review_settings")
    categories = Reason.objects.current()
    context = {"reviews": True, "settings": seat.settings, "categories": categories, "reveals": seat.reveals}
    return render(request, "gallery/review_settings.html", context)


@for_reviewers
@require_safe
def review_figures(request: HttpRequest, seat: Seat) -> HttpResponse:
    """How long pictures wait, how often rules are right, and how much each reviewer had to see; nobody's speed."""
    return render(request, "gallery/review_figures.html", {"reviews": True, "figures": figures.figures()})


def _version(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidInput.of("version", "The version that was looked at is missing.")
    return int(text)


def _ids(texts: list[str]) -> list[str]:
    """Those of the texts that are ids; another one excludes nothing."""
    ids = []
    for text in texts[:MAX_SKIPPED]:
        try:
            ids.append(str(UUID(text)))
        except ValueError:
            continue
    return ids


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


def _is_part(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"
