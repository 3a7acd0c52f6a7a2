"""What is found again of a picture that has been in the review: its bytes, and what looks like it.

A row of its own for each review, so that no search over these finds a picture that nobody but its owner may see.
"""

from django.db import models
from django.db.models import Q

from gallery.models.review import Review


class Resemblance(models.Model):
    """The digest and the perceptual hash of one review's picture; the bands are the quarters of the hash."""

    review = models.OneToOneField(Review, primary_key=True, on_delete=models.CASCADE, related_name="resemblance")
    sha256 = models.CharField(max_length=64, db_index=True)
    perceptual_hash = models.CharField(max_length=16, blank=True)  # of a clip, that of its poster
    band_0 = models.PositiveIntegerField(null=True, blank=True)
    band_1 = models.PositiveIntegerField(null=True, blank=True)
    band_2 = models.PositiveIntegerField(null=True, blank=True)
    band_3 = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=[name], condition=Q(**{f"{name}__isnull": False}), name=f"resemblance_{name}")
            for name in ("band_0", "band_1", "band_2", "band_3")
        ]

    def __str__(self) -> str:
        return f"{self.review_id}: {self.perceptual_hash}"
