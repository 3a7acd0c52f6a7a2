"""Paths below /api/v1/; each answers with and without a trailing slash, never with a redirect."""

from django.urls import re_path

from accounts.guest_sessions import open_to_guests
from gallery.api import collection_views, public_views, review_views, views

ID = r"(?P<image_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
COLLECTION_ID = ID.replace("image_id", "collection_id")
LINK_ID = ID.replace("image_id", "link_id")

urlpatterns = [
    re_path(r"^images/?$", views.ImageList.as_view(), name="images"),
    re_path(r"^images/actions/?$", collection_views.ImageActions.as_view(), name="image-actions"),
    re_path(r"^images/archive/?$", collection_views.ImageArchive.as_view(), name="image-archive"),
    re_path(r"^collections/?$", collection_views.CollectionList.as_view(), name="collections"),
    re_path(rf"^collections/{COLLECTION_ID}/?$", collection_views.CollectionDetail.as_view(), name="collection"),
    re_path(rf"^images/{ID}/?$", views.ImageDetail.as_view(), name="image"),
    re_path(rf"^images/{ID}/restore/?$", views.ImageRestore.as_view(), name="image-restore"),
    re_path(rf"^images/{ID}/purge/?$", views.ImagePurge.as_view(), name="image-purge"),
    re_path(rf"^images/{ID}/file/?$", open_to_guests(views.ImageFile.as_view()), name="image-file"),
    re_path(rf"^images/{ID}/publish/?$", review_views.ImagePublish.as_view(), name="image-publish"),
    re_path(rf"^images/{ID}/withdraw/?$", review_views.ImageWithdraw.as_view(), name="image-withdraw"),
    re_path(rf"^images/{ID}/report/?$", review_views.ImageReport.as_view(), name="image-report"),
    re_path(rf"^images/{ID}/appeal/?$", review_views.ImageAppeal.as_view(), name="image-appeal"),
    re_path(rf"^images/{ID}/links/?$", public_views.ShareLinks.as_view(), name="share-links"),
    re_path(rf"^images/{ID}/links/{LINK_ID}/?$", public_views.ShareLinkDetail.as_view(), name="share-link"),
    re_path(r"^gallery/?$", public_views.Gallery.as_view(), name="gallery"),
    re_path(r"^statements/?$", review_views.StatementList.as_view(), name="statements"),
    re_path(r"^review/?$", review_views.ReviewQueue.as_view(), name="review"),
    re_path(rf"^review/{ID}/similar/?$", review_views.ReviewSimilar.as_view(), name="review-similar"),
    re_path(rf"^review/{ID}/claim/?$", review_views.ReviewClaim.as_view(), name="review-claim"),
    re_path(rf"^review/{ID}/approve/?$", review_views.ReviewApprove.as_view(), name="review-approve"),
    re_path(rf"^review/{ID}/reject/?$", review_views.ReviewReject.as_view(), name="review-reject"),
    re_path(rf"^review/{ID}/escalate/?$", review_views.ReviewEscalate.as_view(), name="review-escalate"),
    re_path(rf"^review/{ID}/undo/?$", review_views.ReviewUndo.as_view(), name="review-undo"),
]
