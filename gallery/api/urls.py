"""Paths below /api/v1/; each answers with and without a trailing slash, never with a redirect."""

from django.urls import re_path

from gallery.api import views

ID = r"(?P<image_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

urlpatterns = [
    re_path(r"^images/?$", views.ImageList.as_view(), name="images"),
    re_path(rf"^images/{ID}/?$", views.ImageDetail.as_view(), name="image"),
    re_path(rf"^images/{ID}/restore/?$", views.ImageRestore.as_view(), name="image-restore"),
    re_path(rf"^images/{ID}/file/?$", views.ImageFile.as_view(), name="image-file"),
]
