"""Paths below /api/v1/; each answers with and without a trailing slash, never with a redirect."""

from django.urls import re_path

from accounts.guest_sessions import open_to_guests
from generations.api import quotes, receipts, views
from generations.api.waiting import streams_events, waits_when_asked

ID = r"(?P<public_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
DRAFT_ID = ID.replace("public_id", "draft_id")

IMAGE_ID = ID.replace("public_id", "image_id")

urlpatterns = [
    re_path(r"^models/?$", views.ModelList.as_view(), name="models"),
    re_path(r"^quotes/?$", quotes.QuoteCreate.as_view(), name="quotes"),
    re_path(r"^generations/?$", waits_when_asked(views.GenerationList.as_view()), name="generations"),
    re_path(rf"^generations/{ID}/?$", views.GenerationDetail.as_view(), name="generation"),
    re_path(rf"^generations/{ID}/cancel/?$", views.GenerationCancel.as_view(), name="generation-cancel"),
    re_path(rf"^generations/{ID}/retry/?$", views.GenerationRetry.as_view(), name="generation-retry"),
    re_path(
        rf"^generations/{ID}/events/?$", streams_events(views.GenerationEvents.as_view()), name="generation-events"
    ),
    re_path(
        rf"^generations/{ID}/drafts/{DRAFT_ID}/?$", open_to_guests(views.DraftFile.as_view()), name="generation-draft"
    ),
    re_path(
        rf"^images/{IMAGE_ID}/receipt/?$",
        open_to_guests(receipts.ImageReceipt.as_view()),
        name="image-receipt",
    ),
    re_path(r"^account/?$", views.Account.as_view(), name="account"),
    re_path(r"^account/limits/?$", views.AccountLimits.as_view(), name="account-limits"),
]
