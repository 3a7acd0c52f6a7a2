"""A shelf of tiles: one page of a list, found by place and never by counting, so that each costs the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from uuid import UUID

from django.http import Http404, HttpRequest

from accounts.errors import NotFound
from accounts.models import User
from gallery.models import Image, ImageQuerySet
from gallery.order import ByPlace
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


def shelf(request: HttpRequest, order: ByPlace, *, day: date | None) -> dict[str, Any]:
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


def _page(request: HttpRequest, order: ByPlace, day: date | None) -> Page:
    place = place_in(request, "before") or place_in(request, "after") or place_in(request, "at")
    start: Image | None = None  # the row above the page
    if place and "before" in request.GET:
        start = place
    elif place:
        # So many newer ones, and one more to start behind; fewer means that the first page has it.
        count = PAGE if "after" in request.GET else PAGE // 2
        above = order.preceding(order.position_of(place), count + 1)
        start = above[count] if len(above) > count else None
    elif day and (first := _first_of(order, day)):
        start = next(iter(order.preceding(order.position_of(first), 1)), None)
    rows = order.following(order.position_of(start) if start else None, PAGE + AHEAD)
    return Page(rows=rows[:PAGE], before=start, after=rows[PAGE:], has_newer=start is not None)


def _first_of(order: ByPlace, day: date) -> Image | None:
    """The newest picture of a day in UTC or of the next earlier one that has any; else the oldest of all."""
    end = datetime.combine(day, time.min, UTC) + timedelta(days=1)
    return order.first_before(end) or next(iter(order.preceding(None, 1)), None)


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
