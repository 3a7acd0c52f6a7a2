"""Pictures that somebody has put together under a name."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from gallery.models.pictures import Image

MAX_NAME_CHARS = 100


class Collection(models.Model):
    """A named choice of its owner's pictures; each may be in several."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="collections")
    name = models.CharField(max_length=MAX_NAME_CHARS)
    images = models.ManyToManyField(Image, through="CollectionItem", related_name="collections")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        # Its index is the order in which they are listed, too.
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="collection_once_a_name")]

    def __str__(self) -> str:
        return self.name


class CollectionItem(models.Model):
    """One picture in one collection."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="items", db_index=False)
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="collection_items")

    class Meta:
        # Read from its end, its index is the list of a collection, the newest picture first.
        constraints = [models.UniqueConstraint(fields=["collection", "image"], name="collection_item_once")]

    def __str__(self) -> str:
        return f"{self.collection_id}: {self.image_id}"
