"""Links that an owner gives away: each ends by itself or when it is revoked, and serves nothing but copies."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from gallery.models.pictures import Image


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def live(self, now: datetime) -> "ShareLinkQuerySet":
        """Those that answer while their picture is public."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ShareLink(models.Model):
    """A link to one public or unlisted picture. Its token is made of this row and a key that is in no database."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="share_links")
    key_id = models.CharField(max_length=40)  # of URL_SIGNING_KEYS
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    views = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.public_id)
