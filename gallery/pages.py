"""A shelf of tiles: one page of a list, found by place and never by counting, so that each costs the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from accounts.errors import NotFound
from accounts.models import User
from gallery.models import Image, ImageQuerySet
from gallery.tiles import group_by_day, tile_of

PAGE = 32
# The boxes of the pictures that follow are laid out already, so that a row which is not full yet does not move later.
AHEAD = 12


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list: its rows, the row before them (for its day), and those after them."""

    rows: Sequence[Image]
    before: Image | None
    after: Sequence[Image]
    has_newer: bool


@dataclass(frozen=True)
class Order:
    """The newest first: by `place`, which `search.narrow` gives, or of a span of time by its time and then by id."""

    images: QuerySet[Any]
    is_by_time: bool = False

    def older(self, than: Image | None) -> QuerySet[Any]:
        """Those below a row, all without one, the nearest first."""
        if not self.is_by_time:
            rows = self.images.order_by("-place")
            # For both sides of the join: PostgreSQL does not conclude one from the other, and would begin at the top.
            return rows.filter(place__lt=than.pk, pk__lt=than.pk) if than else rows
        rows = self.images.order_by("-created_at", "-pk")
        if than is None:
            return rows
        return rows.filter(created_at__lte=than.created_at).exclude(created_at=than.created_at, pk__gte=than.pk)

    def newer(self, than: Image) -> QuerySet[Any]:
        """Those above a row, the nearest first."""
        if not self.is_by_time:
            return self.images.order_by("place").filter(place__gt=than.pk, pk__gt=than.pk)
        rows = self.images.order_by("created_at", "pk").filter(created_at__gte=than.created_at)
        return rows.exclude(created_at=than.created_at, pk__lte=than.pk)


def shelf(request: HttpRequest, order: Order, *, day: date | None) -> dict[str, Any]:
    """What the template of the tiles needs; `day` (UTC) is where to begin, unless the address names a picture."""
    page = _page(request, order, day)
    tiles, ahead = [tile_of(image) for image in page.rows], [tile_of(image) for image in page.after]
    days = group_by_day(
        tiles,
        day_before=page.before.created_at.date() if page.before and is_part(request) else None,
        day_after=ahead[0].day if ahead else None,
    )
    return {
        "days": days,
        "ahead": [tile for tile in ahead if tile.day == tiles[-1].day],
        "older": tiles[-1].id if ahead else None,
        "newer": tiles[0].id if tiles and page.has_newer else None,
        "is_part": is_part(request),
    }


def _page(request: HttpRequest, order: Order, day: date | None) -> Page:
    place = place_in(request, "before") or place_in(request, "after") or place_in(request, "at")
    start: Image | None = None  # the row above the page
    if place and "before" in request.GET:
        start = place
    elif place:
        # So many newer ones, and one more to start behind; fewer means that the first page has it.
        count = PAGE if "after" in request.GET else PAGE // 2
        above = list(order.newer(place)[: count + 1])
        start = above[count] if len(above) > count else None
    elif day and (first := _first_of(order.images, day)):
        start = order.newer(first).first()
    rows = list(order.older(start)[: PAGE + AHEAD])
    return Page(rows=rows[:PAGE], before=start, after=rows[PAGE:], has_newer=start is not None)


def _first_of(images: QuerySet[Any], day: date) -> Image | None:
    """The newest picture of a day in UTC or of the next earlier one that has any; else the oldest of all."""
    end = datetime.combine(day, time.min, UTC) + timedelta(days=1)
    newest_first = images.order_by("-created_at", "-pk")
    return newest_first.filter(created_at__lt=end).first() or newest_first.last()


def place_in(request: HttpRequest, name: str) -> Image | None:
    """The picture that a parameter of the address names, even if it is in the trash now."""
    text = request.GET.get(name, "")
    if not text:
        return None
    try:
        return own_images(request).get_public(UUID(text))
    except (ValueError, NotFound):
        raise Http404 from None


def own_images(request: HttpRequest) -> ImageQuerySet:
    """The pictures of whoever asks."""
    return Image.objects.owned_by(person(request))


def person(request: HttpRequest) -> User:
    """Whoever asks, behind `login_required`."""
    return cast("User", request.user)


def is_part(request: HttpRequest) -> bool:
    """Whether htmx or a script of ours asks for a piece of a page."""
    return request.headers.get("HX-Request") == "true"
