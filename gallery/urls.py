"""Pages of one's own pictures. The page of one picture is generations.views.image: it tells of its job too."""

from django.urls import path

from gallery import views

app_name = "gallery"
urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/trash/", views.trash, name="trash"),
    path("images/<uuid:public_id>/trash/", views.trash_image, name="trash_image"),
    path("images/<uuid:public_id>/restore/", views.restore_image, name="restore_image"),
    path("images/<uuid:public_id>/edit/", views.edit_image, name="edit_image"),
]
