"""The lists of somebody with many pictures: run.py bench library [--pictures 10000] on the engine of DATABASE_URL.

Asks for page 1 and for page 300 in turn, of every list of pictures and of what belongs to them, with each filter, with
pairs of them and with searches, as pages and over REST. Prints the medians and 95th percentiles, the queries of a page
and its size. A far page over 1.5 times its first one, more than 8 queries or more than 50 KiB of HTML end with exit 1.

Targets are for `--pictures 1000000 --page 10000`. Works in a test database of its own, which is removed afterwards;
with `--keep NAME` (of a file on SQLite) it stays, and the next run finds it. `--only TEXT` asks for the lists that have
the text in their names.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import Permission  # noqa: E402
from django.core import signing  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import QuerySet  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from benchmarks._library import MODELS, Library, database, fill_library, find_library  # noqa: E402
from benchmarks.ledger import make_user  # noqa: E402
from config.api import NewestFirst  # noqa: E402
from gallery.api.collection_views import CollectionList  # noqa: E402
from gallery.api.public_views import Gallery  # noqa: E402
from gallery.api.review_views import ReviewQueue  # noqa: E402
from gallery.api.views import ImageList  # noqa: E402
from gallery.collection_views import COLLECTIONS  # noqa: E402
from gallery.models import Collection, Image, ImageQuerySet, Review  # noqa: E402
from gallery.pages import PAGE  # noqa: E402
from gallery.views import TRASH_PAGE  # noqa: E402
from generations.api.views import GenerationList  # noqa: E402
from generations.models import Generation  # noqa: E402
from generations.views.history import PAGE as HISTORY_PAGE  # noqa: E402

MAX_RATIO, MAX_QUERIES, MAX_BYTES = 1.5, 8, 50 * 1024
SLOW_QUERY_S = 0.02


@dataclass(frozen=True)
class Listing:
    """A list: how its address begins, its rows in their order, and how the address goes on from one of them."""

    name: str
    address: str
    rows: QuerySet[Any]
    page: int
    beyond: Callable[[Any], dict[str, Any]]

    def far(self, number: int) -> tuple[str, Any] | None:
        """The page with this number, or the last whole one of a list that is shorter, and the row that it begins with.

        None when there is only one.
        """
        rows = self._around((number - 1) * self.page - 1)
        if not rows:
            number = self.rows.count() // self.page
            if number < 2:
                return None
            rows = self._around((number - 1) * self.page - 1)
        mark = "&" if "?" in self.address else "?"
        return f"{self.address}{mark}{urlencode(self.beyond(rows[0]))}", rows[1]

    def _around(self, position: int) -> list[Any]:
        rows = list(self.rows[position : position + 2])
        return rows if len(rows) == 2 else []


def library_lists(library: Library) -> list[Listing]:
    """The library: each filter, pairs of them, and searches."""
    listed = Image.objects.owned_by(library.owner).listed()
    model, old_model = MODELS[1], MODELS[2]
    long_ago = timezone.now().date() - timedelta(days=Image.objects.dates("created_at", "day").count() * 3 // 4)
    day = {"since": "2020-01-01", "until": long_ago.isoformat()}
    before = datetime.combine(long_ago, datetime.min.time(), UTC) + timedelta(days=1)
    in_time = listed.filter(created_at__lt=before)
    of_model, favourite, public = listed.matching(model=model), listed.matching(favourite=True), listed.public()
    asked: dict[str, tuple[dict[str, Any], ImageQuerySet]] = {
        "all": ({}, listed),
        "model": ({"model": model}, of_model),
        "model, old alone": ({"model": old_model}, listed.matching(model=old_model)),
        "ratio 16:9": ({"shape": "16:9"}, listed.matching(aspect_ratio="16:9")),
        "square": ({"shape": "square"}, listed.of_shape("square")),
        "private": ({"state": "private"}, listed.in_state("private")),
        "in review": ({"state": "review"}, listed.in_state("review")),
        "public": ({"state": "public"}, public),
        "refused, old alone": ({"state": "refused"}, listed.in_state("refused")),
        "favourites": ({"favourite": "1"}, favourite),
        "until a day": (day, in_time),
        "model, favourites": ({"model": model, "favourite": "1"}, of_model.matching(favourite=True)),
        "model, tall": ({"model": model, "shape": "tall"}, of_model.of_shape("tall")),
        "model, public": ({"model": model, "state": "public"}, of_model.public()),
        "public, favourites": ({"state": "public", "favourite": "1"}, public.matching(favourite=True)),
        "until a day, model": (day | {"model": model}, in_time.matching(model=model)),
        "until a day, favourites": (day | {"favourite": "1"}, in_time.matching(favourite=True)),
    }
    lists = [_library_list(name, query, images.order_by("-pk")) for name, (query, images) in asked.items()]
    for name, collection in (("collection", library.collection), ("collection, old alone", library.old)):
        query = {"collection": str(collection.public_id)}
        members = listed.matching(collection=collection).order_by("-collection_items__image_id")
        lists.append(_library_list(name, query, members))
        if collection == library.collection:
            of_both = members.matching(model=model)
            lists.append(_library_list("collection, model", query | {"model": model}, of_both))
            lists.append(_library_list("collection, until a day", query | day, members.filter(created_at__lt=before)))
            lists.append(_library_list("search: in a collection", query | {"q": "fjord"}, members))
            lists.append(
                Listing("collection's page", f"/collections/{collection.public_id}/", members, PAGE, _before_id)
            )
    # Their rows are found by what their prompts contain, without the index of the words.
    searches: dict[str, tuple[dict[str, Any], ImageQuerySet]] = {
        "all have it": ({"q": "fjord"}, listed),
        "two words": ({"q": "fjord mist"}, listed),
        "old alone": ({"q": "lighthouse"}, listed.filter(prompt__contains="lighthouse")),
        "new alone": ({"q": "harbour"}, listed.filter(prompt__contains="harbour")),
        "not that": ({"q": "fjord -harbour"}, listed.exclude(prompt__contains="harbour")),
        "phrase": ({"q": '"harbour thin"'}, listed.filter(prompt__contains="harbour, thin")),
        "begin*": ({"q": "fjor*"}, listed),
        "begin*, old alone": ({"q": "light*"}, listed.filter(prompt__contains="light")),
        "rare": ({"q": "zeppelin"}, listed.filter(prompt__contains="zeppelin")),
        "nothing": ({"q": "submarine"}, listed.none()),
        "model": ({"q": "fjord", "model": model}, of_model),
        "favourites": ({"q": "fjord", "favourite": "1"}, favourite),
        "public": ({"q": "fjord", "state": "public"}, public),
        "all, model old alone": ({"q": "fjord", "model": old_model}, listed.matching(model=old_model)),
        "old, model": ({"q": "lighthouse", "model": model}, of_model.filter(prompt__contains="lighthouse")),
        "until a day": (day | {"q": "fjord"}, in_time),
        "old, until a day": (day | {"q": "lighthouse"}, in_time.filter(prompt__contains="lighthouse")),
        "rare, until a day": (day | {"q": "zeppelin"}, in_time.filter(prompt__contains="zeppelin")),
    }
    for name, (query, images) in searches.items():
        lists.append(_library_list(f"search: {name}", query, images.order_by("-pk")))
    for name, query in (("from a day", {}), ("search: from a day", {"q": "fjord"})):
        lists.append(_library_list(name, query | {"on": long_ago.isoformat()}, Image.objects.none()))
    return lists


def _library_list(name: str, query: dict[str, Any], rows: QuerySet[Any]) -> Listing:
    return Listing(f"library {name}", "/library/" + (f"?{urlencode(query)}" if query else ""), rows, PAGE, _before_id)


def _before_id(row: Any) -> dict[str, Any]:
    return {"before": row.public_id}


def other_lists(library: Library) -> list[Listing]:
    """What else goes on in pages."""
    owner = library.owner
    shown = Image.objects.listed_publicly().order_by("-published_order")
    jobs = Generation.objects.filter(user=owner)
    collections = Collection.objects.filter(owner=owner)

    def before_order(row: Image) -> dict[str, Any]:
        return {"before": row.published_order}

    return [
        Listing("trash", "/library/trash/", Image.objects.owned_by(owner).trashed(), TRASH_PAGE, _before_id),
        Listing("collections", "/collections/", collections, COLLECTIONS, lambda row: {"after": row.name}),
        Listing("gallery all", "/gallery/", shown, PAGE, before_order),
        *(
            Listing(f"gallery {name}", f"/gallery/?{urlencode(query)}", rows, PAGE, before_order)
            for name, query, rows in (
                ("model", {"model": MODELS[1]}, shown.matching(model=MODELS[1])),
                ("model, old alone", {"model": MODELS[2]}, shown.matching(model=MODELS[2])),
                ("clips", {"kind": "video"}, shown.matching(kind="video")),
                ("tall", {"shape": "tall"}, shown.of_shape("tall")),
                (
                    "model, tall",
                    {"model": MODELS[1], "shape": "tall"},
                    shown.matching(model=MODELS[1]).of_shape("tall"),
                ),
            )
        ),
        Listing("history all", "/generations/", jobs, HISTORY_PAGE, _before_id),
        Listing(
            "history failed", "/generations/?status=failed", jobs.filter(status="failed"), HISTORY_PAGE, _before_id
        ),
    ]


def rest_lists(library: Library) -> list[Listing]:
    """The same over REST, where a cursor names the place."""
    owner = library.owner
    half = timezone.now() - timedelta(days=Image.objects.dates("created_at", "day").count() // 2)
    kept = Image.objects.owned_by(owner).listed()
    jobs = Generation.objects.filter(user=owner)
    waiting = Review.objects.waiting().order_by("pk")
    lists = []

    def add(name: str, path: str, query: dict[str, Any], rows: QuerySet[Any], view: type, key: str = "pk") -> None:
        def beyond(row: Any) -> dict[str, Any]:
            salt = f"cursor:{view.__module__}.{view.__qualname__}"
            return {"cursor": signing.dumps([False, str(getattr(row, key))], salt=salt)}

        address = f"/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        lists.append(Listing(f"REST {name}", address, rows, NewestFirst.page_size, beyond))

    for query in (
        {},
        {"model": MODELS[1]},
        {"aspect_ratio": "16:9"},
        {"kind": "video"},
        {"visibility": "public"},
        {"review_status": "rejected"},
        {"favourite": "true"},
        {"model": MODELS[1], "favourite": "true"},
        {"model": MODELS[1], "review_status": "pending"},
        {"created_before": half.isoformat()},
        {"created_before": half.isoformat(), "model": MODELS[1]},
    ):
        lookups = query | ({"favourite": True} if "favourite" in query else {})
        lookups |= {"created_before": half} if "created_before" in query else {}
        add(f"images {' '.join(query) or 'all'}", "images", query, kept.matching(**lookups).order_by("-pk"), ImageList)
    for query in ({"q": "fjord"}, {"q": "lighthouse"}, {"q": "zeppelin"}, {"q": "fjord", "model": MODELS[1]}):
        lookups = {name: value for name, value in query.items() if name != "q"}
        found = kept.matching(**lookups).filter(prompt__contains=query["q"]).order_by("-pk")
        add(f"images {' '.join(query.values())}", "images", query, found, ImageList)
    members = kept.matching(collection=library.collection)
    query = {"collection": str(library.collection.public_id)}
    add("images collection", "images", query, members.order_by("-pk"), ImageList)
    add("collections", "collections", {}, Collection.objects.filter(owner=owner), CollectionList, "name")
    shown = Image.objects.listed_publicly().order_by("-published_order")
    add("gallery", "gallery", {}, shown, Gallery, "published_order")
    add("gallery tall", "gallery", {"shape": "tall"}, shown.of_shape("tall"), Gallery, "published_order")
    add("generations", "generations", {}, jobs, GenerationList)
    add("generations model", "generations", {"model": MODELS[1]}, jobs.filter(model=MODELS[1]), GenerationList)
    add("generations failed", "generations", {"status": "failed"}, jobs.filter(status="failed"), GenerationList)
    add("review", "review", {}, waiting, ReviewQueue)
    add("review of a rule", "review", {"source": "rule"}, waiting.filter(source="rule"), ReviewQueue)
    return lists


def ask(client: Client, address: str) -> tuple[float, bytes]:
    """Milliseconds and the content of one answer."""
    started = time.perf_counter()
    answer = client.get(address)
    elapsed_ms = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, (address, answer, answer.content[:500])
    return elapsed_ms, answer.content


def p95(times: list[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.95) - 1)]


def measure(listing: Listing, client: Client, options: argparse.Namespace) -> bool:
    """Print what a list costs; True when its far page costs what the first one does."""
    far = listing.far(options.page)
    addresses = [listing.address, far[0]] if far else [listing.address]
    queries = largest = 0
    for address in addresses:
        ask(client, address)  # templates are compiled, files are in the cache
        with CaptureQueriesContext(connection) as captured:
            _, content = ask(client, address)
        queries, largest = max(queries, len(captured)), max(largest, len(content))
        if options.slow:
            print_slow(captured)
    if far and hasattr(far[1], "public_id"):
        assert str(far[1].public_id).encode() in content, f"{addresses[-1]} does not begin where it should"
    times: list[list[float]] = [[] for _ in addresses]
    for _ in range(options.repeats):
        for address, taken in zip(addresses, times, strict=True):  # in turn, so that a busy machine slows both
            taken.append(ask(client, address)[0])
    medians = [statistics.median(each) for each in times]
    ratio = medians[-1] / medians[0]
    is_page = "/api/" not in listing.address
    is_even = ratio <= MAX_RATIO and queries <= MAX_QUERIES and (largest <= MAX_BYTES or not is_page)
    print(
        f"{listing.name:36} {medians[0]:7.1f} {medians[-1]:7.1f} ms, ratio {ratio:5.2f};"
        f" p95 {p95(times[0]):7.1f} {p95(times[-1]):7.1f}; {queries:2} queries, {largest:6} bytes"
        f"{'' if is_even else '  <--'}",
        flush=True,
    )
    return is_even


def print_slow(captured: CaptureQueriesContext) -> None:
    for query in captured.captured_queries:
        if float(query["time"]) > SLOW_QUERY_S:
            print(query["time"], query["sql"][-900:])


def reviewer() -> User:
    """Somebody who reviews, and owns nothing."""
    user = make_user()
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.user_permissions.add(Permission.objects.get(codename="review_image"))
    return user


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--page", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--keep", default="", metavar="NAME")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--slow", action="store_true", help="print slow queries as well")
    options = parser.parse_args()
    settings.ALLOWED_HOSTS = ["testserver"]
    logging.disable(logging.INFO)  # a line for each page
    with tempfile.TemporaryDirectory() as directory, database(options.keep, Path(directory)):
        started = time.perf_counter()
        library = find_library()
        if library is None:
            library = fill_library(options.pictures)
            print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
        print(f"{connection.vendor}: {Image.objects.count()} pictures; page 1 and page {options.page}, medians and p95")
        owner, desk = Client(), Client()
        backend = settings.AUTHENTICATION_BACKENDS[0]
        owner.force_login(library.owner, backend=backend)
        desk.force_login(reviewer(), backend=backend)
        lists = [*library_lists(library), *other_lists(library), *rest_lists(library)]
        is_even = True
        for listing in lists:
            if options.only in listing.name:
                is_even &= measure(listing, desk if "REST review" in listing.name else owner, options)
    sys.exit(0 if is_even else 1)


if __name__ == "__main__":
    main()
