"""The search entry of a grounded picture: HTML of the search engine, to be shown as it came or not at all."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.guest_sessions import open_to_guests
from generations.models import Evidence
from generations.views.access import person, signed_in

# Nothing in it runs, and it has no origin: it can be looked at and its links open pages of their own.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'"
)


@open_to_guests
@signed_in
@require_safe
@xframe_options_sameorigin
def search(request: HttpRequest, public_id: UUID, number: int) -> HttpResponse:
    """What the search engine sent with an attempt of the reader's own, to the byte, in a sandbox."""
    found = Evidence.objects.filter(
        attempt__generation__public_id=public_id, attempt__generation__user=person(request), attempt__number=number
    ).first()
    if found is None or not found.rendered_content:
        raise Http404
    return HttpResponse(
        found.rendered_content,
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
