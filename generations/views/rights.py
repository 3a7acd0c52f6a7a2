"""A person's own data: a copy of everything as a file, and deleting the account. Both ask once more who it is."""

from datetime import datetime
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import closing, ledger
from accounts.errors import InvalidInput
from generations import account_exports, rights
from generations.models import Generation
from generations.views.access import person, signed_in


class DeleteForm(forms.Form):
    confirmation = forms.CharField(
        label="Your email address, to confirm",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )


def _page(request: HttpRequest, form: DeleteForm, *, status: int = 200) -> HttpResponse:
    user = person(request)
    export, now = account_exports.latest_of(user), timezone.now()
    next_at = account_exports.next_at(export)
    context = {
        "export": export,
        "is_ready": export is not None and export.expires_at is not None and export.expires_at > now,
        "is_under_way": export is not None and export.is_under_way,
        "has_failed": export is not None and export.state == export.State.FAILED,
        "may_ask": (next_at is None or next_at <= now) and not (export and export.is_under_way),
        "form": form,
        "balance": ledger.balance_of(user),
        "has_jobs": Generation.objects.unfinished().filter(user=user).exists(),
        "grace_days": closing.GRACE.days,
        "kept_days": account_exports.KEPT.days,
    }
    return render(request, "generations/your_data.html", context, status=status)


@never_cache
@signed_in
@require_safe
def your_data(request: HttpRequest) -> HttpResponse:
    """The latest export and what became of it, and the form that deletes the account."""
    return _page(request, DeleteForm())


@never_cache
@signed_in
@require_POST
@reauthentication_required
def request_export(request: HttpRequest) -> HttpResponse:
    """Ask for a copy of everything. Raises RateLimited."""
    rights.request_export(person(request))
    messages.info(request, "Your export is being made. It appears on this page when it is ready.")
    return redirect("generations:your_data")


@never_cache
@signed_in
@require_safe
@reauthentication_required
def download_export(request: HttpRequest, public_id: UUID) -> HttpResponseBase:
    """The ZIP, streamed. Raises NotFound, StorageUnavailable."""
    export, file = account_exports.open_export(person(request), public_id)
    response = FileResponse(file, content_type="application/zip", as_attachment=True)
    response["Content-Disposition"] = f'attachment; filename="export-{export.created_at:%Y-%m-%d}.zip"'
    response["Content-Length"] = str(export.byte_size)
    return response


def _tell_of_deletion(request: HttpRequest, due: datetime) -> None:
    """By mail too: whoever has somebody's browser and password must not end an account unseen."""
    get_adapter().send_notification_mail("account/email/deletion_requested", person(request), {"due": due})


@never_cache
@signed_in
@require_POST
@reauthentication_required
def delete_account(request: HttpRequest) -> HttpResponse:
    """Delete the account after the grace; it signs out everywhere."""
    form = DeleteForm(request.POST)
    if form.is_valid():
        try:
            due = closing.request_deletion(user=person(request), confirmation=form.cleaned_data["confirmation"])
        except InvalidInput as error:
            form.add_error("confirmation", error.message)
        else:
            _tell_of_deletion(request, due)
            logout(request)
            messages.info(
                request, f"Your account is deleted on {due:%-d %B %Y at %H:%M} UTC. Sign in before then to keep it."
            )
            return redirect("account_login")
    return _page(request, form, status=400)
