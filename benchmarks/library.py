"""The library of somebody with many pictures: run.py bench library [--pictures 10000] on the engine of DATABASE_URL.

Asks through the view for page 1 and for page 300 in turn, of the whole list, of each filter and of searches, and prints
the medians and 95th percentiles, the queries of a page and the size of its HTML. A far page over 1.5 times its first
one, a search whose p95 is over 3 times that of page 1, more than 8 queries or more than 50 KB end with exit 1.

Targets are for `--pictures 1000000 --page 10000`. Works in a test database of its own, which is removed afterwards.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management.color import no_style  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from benchmarks.ledger import make_user, scratch_database  # noqa: E402
from gallery import search  # noqa: E402
from gallery.models import Blob, Collection, CollectionItem, Image, ImageQuerySet  # noqa: E402
from gallery.pages import PAGE  # noqa: E402

SHAPES = ((1024, 1024), (1264, 848), (848, 1264), (1376, 768), (2048, 512))
MAX_RATIO, MAX_SEARCH_RATIO, MAX_QUERIES, MAX_BYTES = 1.5, 3, 8, 50_000
BLOCK = 5000
MODELS = ("gemini-3.1-flash-image-preview", "gemini-3-pro-image-preview")


@dataclass(frozen=True)
class Listing:
    """A list of the library by the query of its address."""

    name: str
    query: str
    images: ImageQuerySet
    is_search: bool = False


def fill_library(owner: User, pictures: int) -> Collection:
    """Pictures of a few blobs, by the day; every tenth is in the trash, and somebody else has a tenth as many.

    The collection has every other picture. The word "fjord" is in all prompts, "lighthouse" in the older half alone,
    "zeppelin" in one of a block.
    """
    blobs = [
        Blob.objects.create(
            sha256=f"{number:064x}",
            byte_size=1_000_000,
            mime_type="image/png",
            width=width,
            height=height,
            dominant_colour="#336699",
            thumbhash="3OcRJYB4d3h/iIeHeEh3eIhw+j3A5ghg",
        )
        for number, (width, height) in enumerate(SHAPES)
    ]
    collection = Collection.objects.create(owner=owner, name="Every other")
    neighbour = make_user()
    for word in ("lighthouse", "harbour"):
        fill_half(owner, neighbour, collection, blobs, word=word, blocks=max(1, pictures // 2 // BLOCK))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return collection


def fill_half(
    owner: User, neighbour: User, collection: Collection, blobs: list[Blob], *, word: str, blocks: int
) -> None:
    """One block of pictures by our own verbs, and so many copies of its rows by the engine: a million take minutes."""
    created = timezone.now() - timedelta(days=2 * blocks if word == "lighthouse" else blocks)
    rows = []
    for number in range(BLOCK):
        rare = "" if number else " zeppelin"
        common = {
            "created_at": created,
            "prompt": f"Layered fjord ridges at dawn, {word}{rare}, thin mist in valley {number}.",
            "aspect_ratio": ("1:1", "16:9")[number % 7 == 0],
            "image_size": "1K",
            "model": MODELS[number % 5 == 0],
        }
        state = {"is_favourite": number % 20 == 3}
        if number % 50 == 7:
            state |= {"visibility": "public", "review_status": "approved"}
        rows.append(Image(owner=owner, blob=blobs[number % len(blobs)], **common, **state))
        if number % 10 == 0:
            rows.append(Image(owner=neighbour, blob=blobs[0], **common))
            rows.append(Image(owner=owner, blob=blobs[0], trashed_at=created, **common))
    with transaction.atomic():
        made = Image.objects.bulk_create(rows, batch_size=1000)
        search.index(made)
        members = [image for image in made[::2] if image.owner_id == owner.pk]
        CollectionItem.objects.bulk_create(
            [CollectionItem(collection=collection, image=image) for image in members], batch_size=1000
        )
    first, last = made[0].pk, made[-1].pk
    for block in range(1, blocks):
        copy_block(first, last, shift=block * (last - first + 1), created_at=created + timedelta(days=block))
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Image, CollectionItem]):
            cursor.execute(statement)


def copy_block(first: int, last: int, *, shift: int, created_at: datetime) -> None:
    """The rows with these ids again, under ids that are higher by `shift`."""
    is_postgresql = connection.vendor == "postgresql"
    computed = {
        "id": f"id + {shift}",
        "public_id": "gen_random_uuid()" if is_postgresql else "lower(hex(randomblob(16)))",
        "created_at": "%s",
    }
    columns = [field.column for field in Image._meta.concrete_fields]
    values = ", ".join(computed.get(column, column) for column in columns)
    span = f"BETWEEN {first} AND {last}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO gallery_image ({', '.join(columns)}) SELECT {values} FROM gallery_image WHERE id {span}",
            [created_at],
        )
        cursor.execute(
            f"INSERT INTO gallery_search (rowid, document)"
            f" SELECT rowid + {shift}, document FROM gallery_search WHERE rowid {span}"
        )
        cursor.execute(
            f"INSERT INTO gallery_collectionitem (collection_id, image_id)"
            f" SELECT collection_id, image_id + {shift} FROM gallery_collectionitem WHERE image_id {span}"
        )


def listings(owner: User, collection: Collection) -> list[Listing]:
    """What is asked, with the pictures of each list in its order."""
    listed = Image.objects.owned_by(owner).listed()

    def found(query: str) -> ImageQuerySet:
        return search.narrow(listed, owner_id=owner.pk, query=query).order_by("-place")

    one_model = found("fjord").matching(model=MODELS[1])
    members = search.narrow(
        listed.matching(collection=collection), owner_id=owner.pk, place=search.PLACE_IN_COLLECTION
    ).order_by("-place")
    return [
        Listing("library", "", listed.order_by("-pk")),
        Listing("one model", f"model={MODELS[1]}", listed.matching(model=MODELS[1]).order_by("-pk")),
        Listing("ratio 16:9", "shape=16:9", listed.matching(aspect_ratio="16:9").order_by("-pk")),
        Listing("square", "shape=square", listed.of_shape("square").order_by("-pk")),
        Listing("public", "state=public", listed.in_state("public").order_by("-pk")),
        Listing("favourites", "favourite=1", listed.matching(favourite=True).order_by("-pk")),
        Listing("collection", f"collection={collection.public_id}", members),
        Listing("search: all have it", "q=fjord", found("fjord"), is_search=True),
        Listing("search: old half", "q=lighthouse", found("lighthouse"), is_search=True),
        Listing("search: phrase", "q=%22harbour%20thin%22", found('"harbour thin"'), is_search=True),
        Listing("search: rare", "q=zeppelin", found("zeppelin"), is_search=True),
        Listing("search: nothing", "q=submarine", found("submarine"), is_search=True),
        Listing("search: one model", f"q=fjord&model={MODELS[1]}", one_model, is_search=True),
    ]


def far_address(listing: Listing, number: int) -> str:
    """The page with this number, or the last whole one of a list that is shorter; empty when there is only one."""
    ids = listing.images.values_list("public_id", flat=True)
    wanted = (number - 1) * PAGE - 1
    place = next(iter(ids[wanted : wanted + 1]), None)
    if place is None:
        shorter = listing.images.count() // PAGE
        if shorter < 2:
            return ""
        wanted = (shorter - 1) * PAGE - 1
        place = ids[wanted]
    return f"/library/?{listing.query}{'&' if listing.query else ''}before={place}"


def ask(client: Client, address: str) -> tuple[float, int]:
    """Milliseconds and bytes of one answer."""
    started = time.perf_counter()
    answer = client.get(address)
    elapsed_ms = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, answer
    return elapsed_ms, len(answer.content)


def p95(times: list[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.95) - 1)]


def measure(options: argparse.Namespace) -> bool:
    """True when far pages cost what first ones do, and searches little more."""
    owner = make_user()
    started = time.perf_counter()
    collection = fill_library(owner, options.pictures)
    print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
    client = Client()
    client.force_login(owner, backend=settings.AUTHENTICATION_BACKENDS[0])
    is_even, page_one_p95 = True, 0.0
    for listing in listings(owner, collection):
        addresses = [f"/library/?{listing.query}", far_address(listing, options.page)]
        asked: dict[str, list[tuple[float, int]]] = {address: [] for address in addresses if address}
        queries = 0
        for address in asked:
            ask(client, address)  # templates are compiled, files are in the cache
            with CaptureQueriesContext(connection) as captured:
                ask(client, address)
            queries = max(queries, len(captured))
        for _ in range(options.repeats):
            for address, answers in asked.items():  # in turn, so that a busy machine slows both
                answers.append(ask(client, address))
        times = [[ms for ms, _ in answers] for answers in asked.values()]
        medians = [statistics.median(each) for each in times]
        ratio = medians[-1] / medians[0]
        largest = max(size for answers in asked.values() for _, size in answers)
        page_one_p95 = page_one_p95 or p95(times[0])
        slowest = max(p95(each) for each in times) / page_one_p95
        print(
            f"{listing.name:20} page 1 {medians[0]:6.1f} ms, far {medians[-1]:6.1f} ms, ratio {ratio:.2f};"
            f" p95 {slowest:.2f} of page 1's; {queries} queries, {largest} bytes",
            flush=True,
        )
        is_even &= ratio <= MAX_RATIO and queries <= MAX_QUERIES and largest <= MAX_BYTES
        is_even &= not listing.is_search or slowest <= MAX_SEARCH_RATIO
    return is_even


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
