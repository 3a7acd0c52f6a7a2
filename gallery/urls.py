"""Pages of one's own pictures. The page of one picture is generations.views.image: it tells of its job too."""

from django.urls import path, re_path

from gallery import bulk_views, collection_views, public_views, publication_views, review_views, views

KEY = r"(?P<publication_key>[A-Za-z0-9_-]{22})"
LINK = r"(?P<token>[A-Za-z0-9_-]{44})"

app_name = "gallery"
urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/trash/", views.trash, name="trash"),
    path("library/trash/empty/", views.empty_trash, name="empty_trash"),
    path("library/actions/", bulk_views.act, name="act"),
    path("collections/", collection_views.collection_list, name="collections"),
    path("collections/<uuid:public_id>/", collection_views.collection_page, name="collection"),
    path("collections/<uuid:public_id>/rename/", collection_views.rename, name="rename_collection"),
    path("collections/<uuid:public_id>/delete/", collection_views.delete, name="delete_collection"),
    path("images/<uuid:public_id>/trash/", views.trash_image, name="trash_image"),
    path("images/<uuid:public_id>/restore/", views.restore_image, name="restore_image"),
    path("images/<uuid:public_id>/purge/", views.purge_image, name="purge_image"),
    path("images/<uuid:public_id>/edit/", views.edit_image, name="edit_image"),
    path("images/<uuid:public_id>/publish/", publication_views.publish, name="publish_image"),
    path("images/<uuid:public_id>/withdraw/", publication_views.withdraw, name="withdraw_image"),
    path("images/<uuid:public_id>/links/", publication_views.share, name="share_image"),
    path("images/<uuid:public_id>/links/<uuid:link_id>/revoke/", publication_views.revoke, name="revoke_link"),
    path("images/<uuid:public_id>/appeal/", publication_views.appeal, name="appeal_image"),
    path("gallery/", public_views.gallery, name="public"),
    path("gallery/<uuid:public_id>/", public_views.public_image, name="public_image"),
    path("gallery/<uuid:public_id>/report/", public_views.report, name="report_image"),
    re_path(rf"^p/{KEY}/(?P<name>320|640|1280|full|clip)$", public_views.public_copy, name="public_copy"),
    re_path(rf"^p/{KEY}/(?P<file_name>[0-9a-f]{{64}}\.[a-z0-9]{{3,4}})$", public_views.public_file, name="public_file"),
    re_path(rf"^s/{LINK}/$", public_views.shared, name="shared"),
    re_path(rf"^s/{LINK}/(?P<name>[a-z0-9.]{{1,12}})$", public_views.shared_file, name="shared_file"),
    re_path(r"^signed/(?P<name>(?:originals|renditions)/[a-z0-9./-]{1,150})$", public_views.signed_file, name="signed"),
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
