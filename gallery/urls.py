"""Pages of one's own pictures. The page of one picture is generations.views.image: it tells of its job too."""

from django.urls import path

from gallery import review_views, views

app_name = "gallery"
urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/trash/", views.trash, name="trash"),
    path("images/<uuid:public_id>/trash/", views.trash_image, name="trash_image"),
    path("images/<uuid:public_id>/restore/", views.restore_image, name="restore_image"),
    path("images/<uuid:public_id>/edit/", views.edit_image, name="edit_image"),
    path("review/", review_views.desk_page, name="review"),
    path("review/settings/", review_views.desk_settings, name="review_settings"),
    path("review/figures/", review_views.review_figures, name="review_figures"),
    path("review/back/", review_views.back, name="review_back"),
    path("review/<uuid:public_id>/", review_views.desk_item, name="review_item"),
    path("review/<uuid:public_id>/decide/", review_views.decide, name="review_decide"),
    path("review/<uuid:public_id>/undo/", review_views.undo, name="review_undo"),
    path("review/<uuid:public_id>/claim/", review_views.claim, name="review_claim"),
    path("review/<uuid:public_id>/skip/", review_views.skip, name="review_skip"),
    path("review/<uuid:public_id>/reveal/", review_views.reveal, name="review_reveal"),
]
