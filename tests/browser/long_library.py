"""A library of many pictures of a few files, and what a browser tells about scrolling through it."""

from tests.contract.live import Instance

# Layout shifts that no key or click explains, as the browser itself counts them.
COUNT_SHIFTS = """
window.shifts = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# The id of the tile whose middle is nearest to that of the window.
NEAREST_THE_MIDDLE = """[...document.querySelectorAll("main li.tile")].map((tile) => {
  const { left, right, top, bottom } = tile.getBoundingClientRect();
  return { id: tile.id, away: Math.hypot(left + right - innerWidth, top + bottom - innerHeight) };
}).sort((one, two) => one.away - two.away)[0].id"""
COPY = """
from copy import copy
from datetime import timedelta
import uuid
from django.core.management import call_command
from gallery.models import Image
call_command("rebuildrenditions")  # what the task may not have come to yet
rows = list(Image.objects.filter(owner__email={email!r}))
made = []
for number in range({pictures} - len(rows)):
    row = copy(rows[number % len(rows)])
    row.pk, row.public_id = None, uuid.uuid4()
    row.created_at -= timedelta(hours=number)
    made.append(row)
made.reverse()
Image.objects.bulk_create(made)
# The first ones have the lowest ids, so they are the oldest.
Image.objects.filter(pk__in=[row.pk for row in rows]).update(created_at=made[0].created_at - timedelta(hours=1))
"""


def lengthen(site: Instance, email: str, *, pictures: int) -> None:
    """Copy the rows of somebody's pictures, an hour apart, until there are so many; each has an address of its own."""
    site.manage("shell", "--no-imports", "-c", COPY.format(email=email, pictures=pictures))
