"""Pages of help that other answers point to."""

from django.urls import path, re_path

from config import pages

app_name = "docs"
urlpatterns = [
    path("errors/", pages.errors, name="errors"),
    re_path(r"^errors/(?P<code>[a-z_]+)/?$", pages.error, name="error"),
    path("upstream-key/", pages.upstream_key, name="upstream-key"),
]
