"""Every address, composed. /healthz and /readyz are answered before this (config/health.py)."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView

from accounts.door import ConfirmResetCode, Sessions
from config import error_pages, pages
from config.api import api_not_found

api_v1: list[URLPattern | URLResolver] = [
    path("", include("accounts.api.urls")),
    path("", include("gallery.api.urls")),
    path("", include("generations.api.urls")),
    re_path(r"^schema/?$", SpectacularJSONAPIView.as_view(schema=None), name="schema"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(api_v1)),
    re_path(r"^api/.*$", api_not_found),
    path("", include("generations.urls")),
    path("", include("gallery.urls")),
    path("", include("accounts.urls")),
    # Two of allauth's, before its own, with its names
    path("accounts/password/reset/confirm/", ConfirmResetCode.as_view(), name="account_confirm_password_reset_code"),
    path("accounts/sessions/", Sessions.as_view(), name="usersessions_list"),
    path("accounts/", include("allauth.urls")),
    path("docs/", include("config.docs_urls")),
    path("favicon.ico", pages.favicon),
    path("styleguide/", pages.styleguide, name="styleguide"),
    path("admin/", admin.site.urls),
    path("unsent/", pages.unsent, name="unsent"),
    re_path("", error_pages.no_such_page),
]

handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.forbidden"
handler404 = "config.error_pages.not_found"
handler429 = "config.error_pages.too_many_requests"  # allauth's name for it
handler500 = "config.error_pages.server_error"
