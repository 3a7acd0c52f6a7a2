"""Every address, composed. /healthz and /readyz are answered before this (config/health.py)."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView

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
]

handler404 = "config.api.api_not_found"
handler500 = "config.api.server_error"
