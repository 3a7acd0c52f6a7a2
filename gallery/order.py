"""Lists of somebody's pictures in their order: a page is found by the place behind which it begins, never by counting.

An order has `following` and `preceding` a position, and `position_of` a row; config.api pages any such thing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.db.models import BigIntegerField, F, Subquery

from accounts.models import User
from gallery import search
from gallery.models import Image, ImageQuerySet

PLACE_IN_COLLECTION = "collection_items__image_id"  # for images `matching` one collection
# Pictures get their ids when they are stored: of two, the older by more than this has the lower id.
SLACK = timedelta(hours=1)
LOWEST, HIGHEST = 1, 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class ByPlace:
    """The newest first, by id: all of `images`, or those that their owner's query finds.

    `place` is the column where both engines read the id without sorting. `after` and `before` are the times that
    `images` is limited to, if it is.
    """

    images: ImageQuerySet
    owner_id: int
    query: str = ""
    place: str = "pk"
    after: datetime | None = None
    before: datetime | None = None

    def following(self, place: int | str | None, limit: int) -> list[Image]:
        """Those below a place, all without one, the nearest first."""
        low, high = self._ends
        return self._between(low, high if place is None else min(high, int(place) - 1), limit, is_descending=True)

    def preceding(self, place: int | str | None, limit: int) -> list[Image]:
        """Those above a place, all without one, the nearest first."""
        low, high = self._ends
        return self._between(low if place is None else max(low, int(place) + 1), high, limit, is_descending=False)

    def position_of(self, image: Image) -> int:
        return image.pk

    def first_before(self, moment: datetime) -> Image | None:
        """The first one in the list that was made earlier."""
        low, high = replace(self, before=min(moment, self.before) if self.before else moment)._ends
        earlier = self.images.matching(created_before=moment)
        return next(iter(self._between(low, high, 1, is_descending=True, images=earlier)), None)

    def _between(
        self, low: int, high: int, limit: int, *, is_descending: bool, images: ImageQuerySet | None = None
    ) -> list[Image]:
        """Those from one id to another, or of some of them."""
        images = self.images if images is None else images
        if self.query:
            return list(self._search.page(images, low=low, high=high, limit=limit, is_descending=is_descending))
        rows = images.annotate(place=F(self.place)).order_by("-place" if is_descending else "place")
        # For both sides of a join: PostgreSQL does not conclude one from the other, and would begin at the top.
        ends = {"place__gte": low, "pk__gte": low} if low > LOWEST else {}
        ends |= {"place__lte": high, "pk__lte": high} if high < HIGHEST else {}
        return list(rows.filter(**ends)[:limit])

    @cached_property
    def _search(self) -> search.Search:
        return search.Search(self.images, self.owner_id, self.query)

    @cached_property
    def _ends(self) -> tuple[int, int]:
        """The lowest and the highest id that one of these times can have: a list by id has no index of times."""
        if not (self.after or self.before):
            return LOWEST, HIGHEST
        kept, none = Image.objects.filter(owner_id=self.owner_id).kept(), Image.objects.none()
        earlier, later = none, none
        if self.after and self.after > datetime.min.replace(tzinfo=UTC) + SLACK:
            earlier = kept.filter(created_at__lte=self.after - SLACK).order_by("-created_at", "-pk")
        if self.before and self.before < datetime.max.replace(tzinfo=UTC) - SLACK:
            later = kept.filter(created_at__gte=self.before + SLACK).order_by("created_at", "pk")
        beyond = [Subquery(images.values("pk")[:1], output_field=BigIntegerField()) for images in (earlier, later)]
        ((below, above),) = User.objects.filter(pk=self.owner_id).values_list(*beyond)
        return (below or 0) + 1, (above or 2**63) - 1
