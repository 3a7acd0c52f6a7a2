"""Pages of the reviewers: the desk with its verbs, its settings and the figures; others do not find them."""

from collections.abc import Callable
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
from gallery.review.access import is_reviewer

SKIPPED = "review_skipped"  # in the session: pictures that were put off, the latest last
MAX_SKIPPED = 50
UNDOABLE = "review_undo"  # in the session: the decision that the next page offers to take back
View = Callable[..., HttpResponseBase]


def for_reviewers(view: View) -> View:
    """Whoever does not review finds nothing here. Failures are JSON for the desk's own script."""

    @never_cache
    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_reviewer(_person(request)):
            raise Http404
        try:
            return view(request, *args, **kwargs)
        except ServiceError as error:
            if not _is_part(request):
                raise
            body = {"message": error.message, "remedy": error.remedy, "code": error.code}
            return JsonResponse(body, status=error.status)

    return guarded


@for_reviewers
@require_safe
def desk_page(request: HttpRequest) -> HttpResponse:
    """The first picture that waits and is free; the desk's script gets it alone, and says which ones it has."""
    reviewer = _person(request)
    skipped = _ids(request.GET.getlist("not")) if _is_part(request) else request.session.get(SKIPPED, [])
    review = claims.claim_next(reviewer=reviewer, skipped=skipped)
    if review is None and skipped and not _is_part(request):
        request.session[SKIPPED] = []  # what was put off comes back when there is nothing else
        review = claims.claim_next(reviewer=reviewer)
    return _show(request, review)


@for_reviewers
@require_safe
def desk_item(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The desk with one picture, which is claimed. Raises ClaimLost and what else a claim does."""
    return _show(request, claims.claim(reviewer=_person(request), image_id=public_id))


def _show(request: HttpRequest, review: Review | None) -> HttpResponse:
    reviewer = _person(request)
    if _is_part(request):
        if review is None:
            return HttpResponse(status=204)
        return render(request, "gallery/_exam.html", _exam_context(review, reviewer))
    only_appeals = request.GET.get("only") == "appeals"
    lines = desk.queue_lines(reviewer, only_appeals=only_appeals)
    context = {
        "lines": lines,
        "only_appeals": only_appeals,
        "oldest": min((line.waits_since for line in lines), default=None),
        "is_cut": len(lines) == desk.IN_LIST,
        "late": sum(line.is_late for line in lines),
        "settings": exposure.settings_of(reviewer),
        "undoable": request.session.pop(UNDOABLE, None),
        **(_exam_context(review, reviewer) if review else {}),
    }
    return render(request, "gallery/review.html", context)


def _exam_context(review: Review, reviewer: User) -> dict[str, Any]:
    return {"exam": desk.examine(review, reviewer), "max_note_chars": MAX_NOTE_CHARS, "now": timezone.now()}


@for_reviewers
@require_POST
def decide(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Approve, refuse, send on or quarantine; then the next picture."""
    verb = request.POST.get("verb", "")
    if verb not in decisions.OUTCOMES:
        raise InvalidInput.of("verb", "There is no such decision.")
    step = decisions.decide(
        verb=verb,
        reviewer=_person(request),
        image_id=public_id,
        version=_version(request),
        reason=request.POST.get("reason", "") if verb in ("reject", "quarantine") else "",
        note=request.POST.get("note", ""),
    )
    if _is_part(request):
        return JsonResponse({"version": step.version})
    request.session[UNDOABLE] = [str(public_id), step.version, desk.VERBS[verb]]
    return redirect("gallery:review")


@for_reviewers
@require_POST
def undo(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take back one's last decision, and show its picture again."""
    step = decisions.undo(reviewer=_person(request), image_id=public_id, version=_version(request))
    if _is_part(request):
        return JsonResponse({"version": step.version})
    return redirect("gallery:review_item", public_id=public_id)


@for_reviewers
@require_POST
def claim(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Hold the picture longer, as long as somebody works at it."""
    review = claims.claim(reviewer=_person(request), image_id=public_id)
    if _is_part(request):
        left_s = (review.claimed_until - timezone.now()).total_seconds() if review.claimed_until else 0
        return JsonResponse({"left_s": round(left_s), "version": review.version})
    return redirect("gallery:review_item", public_id=public_id)


@for_reviewers
@require_POST
def skip(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Put a picture off: it is free for others, and comes back when there is nothing else."""
    claims.release(reviewer=_person(request), image_id=public_id)
    skipped = [*request.session.get(SKIPPED, []), str(public_id)]
    request.session[SKIPPED] = skipped[-MAX_SKIPPED:]
    return HttpResponse(status=204) if _is_part(request) else redirect("gallery:review")


@for_reviewers
@require_POST
def back(request: HttpRequest) -> HttpResponse:
    """To the picture that was put off last."""
    skipped = list(request.session.get(SKIPPED, []))
    if not skipped:
        return redirect("gallery:review")
    request.session[SKIPPED] = skipped[:-1]
    return redirect("gallery:review_item", public_id=skipped[-1])


@for_reviewers
@require_POST
def reveal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Note that a picture was uncovered; answers whether it is time for a break."""
    count = exposure.note_reveal(user=_person(request), image_id=public_id)
    return JsonResponse({"reveals": count, "needs_break": count >= exposure.REVEALS_PER_HOUR})


@for_reviewers
@require_http_methods(["GET", "HEAD", "POST"])
def desk_settings(request: HttpRequest) -> HttpResponse:
    """How this reviewer wants the desk, and which categories they do not want to see."""
    reviewer = _person(request)
    if request.method == "POST":
        exposure.save_settings(
            user=reviewer,
            blurs="blurs" in request.POST,
            is_grey="is_grey" in request.POST,
            has_single_keys="has_single_keys" in request.POST,
            folds_flagged_prompts="folds_flagged_prompts" in request.POST,
            avoided=request.POST.getlist("avoided"),
        )
        messages.success(request, "Saved.")
        return redirect("gallery:review_settings")
    settings = exposure.settings_of(reviewer)
    context = {"settings": settings, "categories": Reason.objects.current(), "reveals": exposure.reveals_of(reviewer)}
    return render(request, "gallery/review_settings.html", context)


@for_reviewers
@require_safe
def review_figures(request: HttpRequest) -> HttpResponse:
    """How long pictures wait, how often rules are right, and how much each reviewer had to see; nobody's speed."""
    return render(request, "gallery/review_figures.html", {"figures": figures.figures()})


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
