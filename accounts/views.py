"""Pages about the person: ledger, API keys, profile, theme. The balance, which tells of jobs too, is
generations.views.account."""

from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import exports, profiles, statement
from accounts import keys as api_keys
from accounts import ledger as book
from accounts.errors import InvalidInput, NotFound, ServiceError
from accounts.forms import NewKeyForm, ProfileForm, key_form
from accounts.models import ApiKey, Entry, User
from accounts.periods import Period, parse_period
from accounts.statement import Filters

LINES = 30
KINDS = {"grant": "Added", "hold": "Holds", "capture": "Charges", "release": "Releases", "refund": "Refunds"}
SIGNS = {"added": "Money in", "charged": "Money out"}
ENDED_KEYS = 20
KEYS_TO_CHOOSE = 100
ENDS_SOON = timedelta(days=14)
THEMES = ("system", "light", "dark")
THEME_KEPT_S = 365 * 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the statement; `job` is the id of the job that it is for, if there is one."""

    entry: Entry
    job: UUID | None


@dataclass(frozen=True, kw_only=True)
class LedgerForm:
    """What stands in the form over the lines, as texts that nobody has checked yet."""

    kind: str = ""
    sign: str = ""
    reference: str = ""
    api_key: str = ""
    month: str = ""
    time_zone: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> "LedgerForm":
        return cls(**{each.name: request.GET.get(each.name, "").strip() for each in fields(cls)})

    def period(self) -> Period:
        """Raises InvalidInput."""
        return parse_period(month=self.month, time_zone=self.time_zone)

    def key_id(self, user: User) -> UUID | None:
        """The public id of the key that was chosen. Raises InvalidInput for what is no key of the user's."""
        return api_keys.own_key(user, self.api_key).public_id if self.api_key else None

    def filters(self, user: User) -> Filters:
        """Raises InvalidInput."""
        return Filters(
            kind=self.kind,
            sign=self.sign,
            reference=self.reference,
            api_key=self.key_id(user),
            period=self.period(),
        )

    def query(self) -> str:
        """What is set, for links to other pages of the same lines."""
        return urlencode({name: value for name, value in asdict(self).items() if value})


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that works, and what it may spend if it has a budget."""

    key: ApiKey
    budget: book.Budget | None


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


@never_cache
@login_required
@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """The statement, newest line first: `?before=` or `?after=` the number of a line, so page 300 costs what 1 does."""
    user, form, problem = _person(request), LedgerForm.read(request), ""
    before, after = (_number(request.GET.get(name, "")) for name in ("before", "after"))
    try:
        page = statement.page_of(user, form.filters(user), limit=LINES, before=before, after=after)
    except InvalidInput as error:
        page, problem = statement.Page(lines=[], newer=None, older=None), error.message
    context = {
        "lines": [Line(entry=entry, job=_job(entry.transfer.reference)) for entry in page.lines],
        "page": page,
        "is_first": before is None and after is None,
        "form": form,
        "query": form.query(),
        "problem": problem,
        "kinds": KINDS,
        "signs": SIGNS,
        "api_keys": user.api_keys.order_by("-pk")[:KEYS_TO_CHOOSE],
        "this_month": timezone.now().strftime("%Y-%m"),
        "balance": book.balance_of(user),
    }
    return render(request, "accounts/ledger.html", context, status=400 if problem else 200)


@login_required
@require_safe
def statement_file(request: HttpRequest, form: str) -> HttpResponseBase:
    """The statement of a month, or of all time, as a file; that of one key if one is chosen. Raises InvalidInput."""
    user, chosen = _person(request), LedgerForm.read(request)
    export = exports.prepare(user, chosen.period(), api_key=chosen.key_id(user))
    return exports.respond(export, form=form)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _job(reference: str) -> UUID | None:
    """A reference is opaque to the ledger; the ones that are ids are those of jobs."""
    try:
        return UUID(reference)
    except ValueError:
        return None


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """The API keys, and a form for a new one. Its text is in the answer to the POST and nowhere else."""
    user, status, issued = _person(request), 200, None
    form = NewKeyForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_valid():
        try:
            issued = api_keys.create_key(
                user=user,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at,
                budget_micros=form.cleaned_data["budget"],
                budget_period=form.period,
                key_id=form.cleaned_data.get("key_id"),
                limits=form.limits,
            )
            form = NewKeyForm(user=user)
        except ServiceError as error:
            form.refuse(error)
            status = error.status
    elif form.is_bound:
        status = 400
    active = list(api_keys.active_keys(user).order_by("-pk"))
    budgets = book.budgets_of(active)
    ended = list(api_keys.ended_keys(user).order_by("-pk")[: ENDED_KEYS + 1])
    context = {
        "form": form,
        "issued": issued,
        "active": [KeyRow(key=key, budget=budgets.get(key.pk)) for key in active],
        "ended": ended[:ENDED_KEYS],
        "has_more_ended": len(ended) > ENDED_KEYS,
        "soon": timezone.now() + ENDS_SOON,
        "api_url": request.build_absolute_uri("/api/v1"),
    }
    response = render(request, "accounts/keys.html", context, status=status)
    response["Cache-Control"] = "no-store"  # the way back must not show the key again
    return response


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_key(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What a key is called, what it may spend and its limits, with what is left of its budget."""
    user = _person(request)
    key = api_keys.active_keys(user).filter(public_id=public_id).first()
    if key is None:
        raise NotFound("You have no such API key that works.")
    form = key_form(key, request.POST if request.method == "POST" else None)
    if form.is_valid():
        wish = form.cleaned_data
        try:
            api_keys.update_key(
                user=user,
                key_id=public_id,
                name=wish["name"],
                budget_micros=wish["budget"],
                budget_period=form.period,
                limits=form.limits,
            )
            messages.info(request, f"The key “{wish['name'].strip()}” is changed, from its next request on.")
            return redirect("accounts:keys")
        except ServiceError as error:
            form.refuse(error)
    context = {"key": key, "form": form, "budget": book.budgets_of([key]).get(key.pk)}
    return render(request, "accounts/change_key.html", context, status=400 if form.errors else 200)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask whether it is meant, then end the key."""
    user = _person(request)
    key = user.api_keys.filter(public_id=public_id).first()
    if key is None:
        raise NotFound("You have no such API key.")
    if request.method != "POST":
        return render(request, "accounts/revoke_key.html", {"key": key})
    api_keys.revoke_key(user=user, key_id=public_id)
    messages.info(request, f"The key “{key.name}” is revoked. Programs that use it are refused from now on.")
    return redirect("accounts:keys")


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """How somebody is called, what they are told by mail, and how the pages look."""
    user = _person(request)
    initial = {"name": user.name, "hears_of_approvals": user.hears_of_approvals}
    form = ProfileForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        try:
            profiles.save_profile(user=user, **form.cleaned_data)
            messages.info(request, "Saved.")
            return redirect("accounts:profile")
        except ServiceError as error:
            form.add_error("name", error.message)
    return render(
        request, "accounts/profile.html", {"form": form, "themes": THEMES}, status=400 if form.errors else 200
    )


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember light, dark or the system's own in a cookie: it belongs to the browser, not to the person."""
    wanted, target = request.POST.get("theme", ""), request.POST.get("next", "/")
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    response = redirect(target if is_ours else "/")
    if wanted in THEMES:
        response.set_cookie("theme", wanted, max_age=THEME_KEPT_S, samesite="Lax", secure=request.is_secure())
    return response
