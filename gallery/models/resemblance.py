"""What is found again of a picture that has been in the review: its bytes, and what looks like it.

A row of its own for each review, so that no search over these finds a picture that nobody but its owner may see.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from gallery.models.review import Review
from gallery.perceptual import bands_of, distance, near_bands

BANDS = ("band_0", "band_1", "band_2", "band_3")


class ResemblanceQuerySet(models.QuerySet["Resemblance"]):
    def near(self, *sha256s: str, hash: str) -> "ResemblanceQuerySet":
        """Those of the same bytes, and candidates for looking like it: `distance_to` tells which of them do."""
        same = Q(sha256__in=sha256s)
        if hash:
            for name, band in zip(BANDS, bands_of(hash), strict=True):
                same |= Q(**{f"{name}__in": near_bands(band)})
        return self.filter(same)


class Resemblance(models.Model):
    """The digest and the perceptual hash of one review's picture; the bands are the quarters of the hash."""

    review = models.OneToOneField(Review, primary_key=True, on_delete=models.CASCADE, related_name="resemblance")
    sha256 = models.CharField(max_length=64, db_index=True)
    perceptual_hash = models.CharField(max_length=16, blank=True)  # of a clip, that of its poster
    band_0 = models.PositiveIntegerField(null=True, blank=True)
    band_1 = models.PositiveIntegerField(null=True, blank=True)
    band_2 = models.PositiveIntegerField(null=True, blank=True)
    band_3 = models.PositiveIntegerField(null=True, blank=True)

    objects: ClassVar[models.Manager["Resemblance"]] = ResemblanceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=[name], condition=Q(**{f"{name}__isnull": False}), name=f"resemblance_{name}")
            for name in BANDS
        ]

    def __str__(self) -> str:
        return f"{self.review_id}: {self.perceptual_hash}"

    def distance_to(self, *sha256s: str, hash: str) -> int | None:
        """How far away it is in bits, 0 for the same bytes, None for what has nothing to compare."""
        if self.sha256 in sha256s:
            return 0
        return distance(self.perceptual_hash, hash) if hash and self.perceptual_hash else None
