"""The library of somebody with many pictures: run.py bench library [--pictures 10000] on the engine of DATABASE_URL.

Asks for page 1 and for page 300 in turn, through the view, and prints the medians, their ratio, the queries of a page
and the size of its HTML. A ratio over 1.5, more than 8 queries or more than 50 KB end with exit 1.

Works in a test database of its own, which is removed afterwards.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from benchmarks.ledger import make_user, scratch_database  # noqa: E402
from gallery.models import Blob, Image  # noqa: E402
from gallery.views import PAGE  # noqa: E402

SHAPES = ((1024, 1024), (1264, 848), (848, 1264), (1376, 768), (2048, 512))
PICTURES_A_DAY = 30
MAX_RATIO, MAX_QUERIES, MAX_BYTES = 1.5, 8, 50_000


def fill_library(owner: User, pictures: int) -> None:
    """Pictures of a few blobs, by the day; every tenth is in the trash, and somebody else has as many."""
    blobs = [
        Blob.objects.create(
            sha256=f"{number:064x}",
            byte_size=1_000_000,
            mime_type="image/png",
            width=width,
            height=height,
            dominant_colour="#336699",
        )
        for number, (width, height) in enumerate(SHAPES)
    ]
    first = timezone.now() - timedelta(days=pictures // PICTURES_A_DAY)
    neighbour = make_user()
    prompt = "Layered fjord ridges at dawn, low sun, thin mist in the valleys. Wide and quiet, no people."
    common = {"prompt": prompt, "model": "gemini-3.1-flash-image-preview", "aspect_ratio": "1:1", "image_size": "1K"}
    rows = []
    for number in range(pictures):
        created = first + timedelta(days=number // PICTURES_A_DAY)
        rows.append(Image(owner=owner, blob=blobs[number % len(blobs)], created_at=created, **common))
        rows.append(Image(owner=neighbour, blob=blobs[0], created_at=created, **common))
        if number % 10 == 0:
            rows.append(Image(owner=owner, blob=blobs[0], created_at=created, trashed_at=created, **common))
    Image.objects.bulk_create(rows, batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def address_of_page(owner: User, number: int) -> str:
    kept = Image.objects.owned_by(owner).kept().order_by("-pk")
    return "/library/" if number == 1 else f"/library/?before={kept[(number - 1) * PAGE - 1].public_id}"


def ask(client: Client, address: str) -> tuple[float, int]:
    """Milliseconds and bytes of one answer."""
    started = time.perf_counter()
    answer = client.get(address)
    elapsed_ms = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, answer
    return elapsed_ms, len(answer.content)


def measure(options: argparse.Namespace) -> bool:
    """True when the last page costs what the first one does."""
    owner = make_user()
    fill_library(owner, options.pictures)
    client = Client()
    client.force_login(owner, backend=settings.AUTHENTICATION_BACKENDS[0])
    addresses = {number: address_of_page(owner, number) for number in (1, options.page)}
    queries = {}
    for number, address in addresses.items():
        ask(client, address)  # templates are compiled, files are in the cache
        with CaptureQueriesContext(connection) as captured:
            ask(client, address)
        queries[number] = len(captured)
    asked: dict[int, list[tuple[float, int]]] = {number: [] for number in addresses}
    for _ in range(options.repeats):
        for number, address in addresses.items():  # in turn, so that a busy machine slows both
            asked[number].append(ask(client, address))
    medians = {number: statistics.median(ms for ms, _ in times) for number, times in asked.items()}
    largest = max(size for times in asked.values() for _, size in times)
    for number, median in medians.items():
        print(f"page {number:4}: {median:7.1f} ms median of {options.repeats}, {queries[number]} queries")
    ratio = medians[options.page] / medians[1]
    print(f"ratio {ratio:.2f} (at most {MAX_RATIO}), {largest} bytes of HTML at most")
    return ratio <= MAX_RATIO and max(queries.values()) <= MAX_QUERIES and largest <= MAX_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--page", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    settings.ALLOWED_HOSTS = ["testserver"]
    print(f"{connection.vendor}: {options.pictures} pictures")
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)):
        is_even = measure(options)
    sys.exit(0 if is_even else 1)


if __name__ == "__main__":
    main()
