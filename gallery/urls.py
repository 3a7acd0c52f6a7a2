"""Pages of one's own pictures. The page of one picture is generations.views.image: it tells of its job too."""

from django.urls import path

from gallery import bulk_views, collection_views, publication_views, review_views, views

app_name = "gallery"
urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/trash/", views.trash, name="trash"),
    path("library/actions/", bulk_views.act, name="act"),
    path("collections/", collection_views.collection_list, name="collections"),
    path("collections/<uuid:public_id>/", collection_views.collection_page, name="collection"),
    path("collections/<uuid:public_id>/rename/", collection_views.rename, name="rename_collection"),
    path("collections/<uuid:public_id>/delete/", collection_views.delete, name="delete_collection"),
    path("images/<uuid:public_id>/trash/", views.trash_image, name="trash_image"),
    path("images/<uuid:public_id>/restore/", views.restore_image, name="restore_image"),
    path("images/<uuid:public_id>/edit/", views.edit_image, name="edit_image"),
    path("images/<uuid:public_id>/publish/", publication_views.publish, name="publish_image"),
    path("images/<uuid:public_id>/withdraw/", publication_views.withdraw, name="withdraw_image"),
    path("images/<uuid:public_id>/appeal/", publication_views.appeal, name="appeal_image"),
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
