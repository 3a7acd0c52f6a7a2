"""What benchmarks/library.py asks for: a library of a million pictures, with everything that has a list of its own.

The first block of pictures is made by our own verbs, and the engine copies its rows: a million take minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Price, User
from benchmarks.ledger import make_user, scratch_database
from gallery import search
from gallery.models import Blob, Collection, CollectionItem, Image, Review
from gallery.models.pictures import shape_name
from generations.models import Attempt, Generation, Output
from generations.spec import GenerationSpec
from tests.accounts.money import IMAGE, grant, reserve

SHAPES = ((1024, 1024), (1264, 848), (848, 1264), (1376, 768), (2048, 512))
BLOCK = 5000
MODELS = ("gemini-3.1-flash-image-preview", "gemini-3-pro-image-preview", "gemini-2.5-flash-image")
EVERY_OTHER, OLD = "Every other", "Old ones"
DAY_US = 86_400_000_000
MAX_COLLECTIONS = 60_000
MAX_JOBS = 310_000


@dataclass(frozen=True)
class Library:
    """Whose it is, and two of the collections."""

    owner: User
    collection: Collection
    old: Collection


@contextmanager
def database(keep: str, directory: Path) -> Iterator[None]:
    """A database that is removed afterwards; with `keep` (a name, of a file on SQLite) one that stays and is found."""
    if not keep:
        with scratch_database(directory):
            yield
        return
    connection.settings_dict["NAME"] = connection.settings_dict["TEST"]["NAME"] = keep
    if not _exists(keep):
        connection.creation.create_test_db(verbosity=0, autoclobber=False, serialize=False)
    else:
        call_command("migrate", verbosity=0)
    yield


def _exists(name: str) -> bool:
    if connection.vendor == "sqlite":
        return Path(name).exists()
    with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        return cursor.fetchone() is not None


def find_library() -> Library | None:
    """The one that is in the database already."""
    collection = Collection.objects.filter(name=EVERY_OTHER).select_related("owner").first()
    if collection is None:
        return None
    return Library(collection.owner, collection, Collection.objects.get(owner=collection.owner, name=OLD))


def fill_library(pictures: int) -> Library:
    """Pictures of a few blobs, by the day; every tenth is in the trash, and somebody else has a tenth as many.

    One collection has every other picture, one every tenth of the older half; there are many others with one picture.
    The word "fjord" is in all prompts, "lighthouse" in the older half alone, "harbour" in the newer one, "zeppelin" in
    one of a block. A third is public, a third waits for a review; some of the older half were refused. For a third
    there is a generation.
    """
    owner, neighbour = make_user(), make_user()
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
    library = Library(
        owner,
        Collection.objects.create(owner=owner, name=EVERY_OTHER),
        Collection.objects.create(owner=owner, name=OLD),
    )
    blocks = max(1, pictures // 2 // BLOCK)
    for word in ("lighthouse", "harbour"):
        _fill_half(library, neighbour, blobs, word=word, blocks=blocks)
    _fill_collections(owner, min(MAX_COLLECTIONS, pictures // 10))
    _fill_reviews()
    _fill_jobs(owner, min(MAX_JOBS, pictures // 3))
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(
            no_style(), [Image, CollectionItem, Collection, Review, Generation, Attempt, Output]
        ):
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    return library


def _fill_half(library: Library, neighbour: User, blobs: list[Blob], *, word: str, blocks: int) -> None:
    """One block of pictures by our own verbs, and so many copies of its rows."""
    is_old = word == "lighthouse"
    created = timezone.now() - timedelta(days=2 * blocks if is_old else blocks)
    rows = []
    for number in range(BLOCK):
        rare = "" if number else " zeppelin"
        common = {
            "created_at": created,
            "prompt": f"Layered fjord ridges at dawn, {word}{rare}, thin mist in valley {number}.",
            "aspect_ratio": ("1:1", "16:9")[number % 7 == 0],
            "image_size": "1K",
            "model": MODELS[{0: 1, 1: 2 if is_old else 0}.get(number % 5, 0)],
            "kind": "video" if number % 100 == 12 else "image",
        }
        state = {"is_favourite": number % 20 == 3} | _state(number, is_old=is_old, created=created)
        rows.append(_image(blobs[number // 5 % len(blobs)], owner=library.owner, **common, **state))
        if number % 10 == 0:
            state = {} if number % 20 else _published(created, BLOCK + number)
            rows.append(_image(blobs[0], owner=neighbour, **common, **state))
            rows.append(_image(blobs[0], owner=library.owner, trashed_at=created, **common))
    with transaction.atomic():
        made = Image.objects.bulk_create(rows, batch_size=1000)
        search.index(made)
        mine = [image for image in made if image.owner_id == library.owner.pk]
        members = [CollectionItem(collection=library.collection, image=image) for image in mine[::2]]
        members += [CollectionItem(collection=library.old, image=image) for image in mine[::10] if is_old]
        CollectionItem.objects.bulk_create(members, batch_size=1000)
    first, last = made[0].pk, made[-1].pk
    for block in range(1, blocks):
        _copy_block(first, last, block=block, created_at=created + timedelta(days=block))
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Image, CollectionItem]):
            cursor.execute(statement)


def _image(blob: Blob, **fields: Any) -> Image:
    return Image(blob=blob, shape=shape_name(blob.width, blob.height), **fields)


def _state(number: int, *, is_old: bool, created: datetime) -> dict[str, object]:
    if is_old and number % 50 == 9:
        return {"review_status": "rejected"}
    if number % 3 == 1:
        return _published(created, number) | ({"visibility": "unlisted"} if number % 500 == 25 else {})
    return {"visibility": "public", "review_status": "pending"} if number % 3 == 2 else {}


def _published(created: datetime, number: int) -> dict[str, object]:
    order = (int(created.timestamp() * 1_000_000) + number) << 12
    return {
        "visibility": "public",
        "review_status": "approved",
        "published_order": order,
        "publication_key": f"{order:022}",
    }


def _copy_block(first: int, last: int, *, block: int, created_at: datetime) -> None:
    """The rows with these ids again, under ids that are higher by so many blocks."""
    shift = block * (last - first + 1)
    order = f"published_order + {block * DAY_US << 12}"
    key = f"lpad(({order})::text, 22, '0')" if connection.vendor == "postgresql" else f"printf('%%022d', {order})"
    computed = {
        "id": f"id + {shift}",
        "public_id": _new_uuid(),
        "created_at": "%s",
        "trashed_at": "CASE WHEN trashed_at IS NULL THEN NULL ELSE %s END",
        "published_order": order,
        "publication_key": f"CASE WHEN published_order IS NULL THEN NULL ELSE {key} END",
    }
    columns = [field.column for field in Image._meta.concrete_fields if not field.generated]
    values = ", ".join(computed.get(column, column) for column in columns)
    times = [column for column in columns if column in ("created_at", "trashed_at")]
    document = "document"
    if connection.vendor == "postgresql":
        values = values.replace("ELSE %s END", "ELSE %s::timestamptz END")
        words = f"ts_delete(document, '{search.SPAN_WORD}' || (rowid >> {search.SPAN_BITS}))"
        document = (
            f"{words} || array_to_tsvector(ARRAY['{search.SPAN_WORD}' || (rowid + {shift} >> {search.SPAN_BITS})])"
        )
    span = f"BETWEEN {first} AND {last}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO gallery_image ({', '.join(columns)}) SELECT {values} FROM gallery_image WHERE id {span}",
            [created_at for _ in times],
        )
        cursor.execute(
            f"INSERT INTO gallery_search (rowid, document)"
            f" SELECT rowid + {shift}, {document} FROM gallery_search WHERE rowid {span}"
        )
        cursor.execute(
            f"INSERT INTO gallery_collectionitem (collection_id, image_id)"
            f" SELECT collection_id, image_id + {shift} FROM gallery_collectionitem WHERE image_id {span}"
        )


def _new_uuid() -> str:
    return "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"


def _series(count: int) -> str:
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"


def _fill_collections(owner: User, count: int) -> None:
    name = "lpad(i::text, 6, '0')" if connection.vendor == "postgresql" else "printf('%%06d', i)"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO gallery_collection (public_id, owner_id, name, created_at)"
            f" {_series(count)} SELECT {_new_uuid()}, %s, 'Journey ' || {name}, %s FROM n",
            [owner.pk, timezone.now()],
        )
        cursor.execute(
            "INSERT INTO gallery_collectionitem (collection_id, image_id)"
            " SELECT id, (SELECT min(id) FROM gallery_image WHERE trashed_at IS NULL) + id"
            " FROM gallery_collection WHERE name LIKE 'Journey%%'",
            [],
        )


def _fill_reviews() -> None:
    """One for each picture that waits."""
    values = {
        "image_id": "id",
        "version": "1",
        "source": "CASE WHEN id %% 4 = 0 THEN 'rule' ELSE 'request' END",
        "risk": "id %% 101",
        "rule_hits": "'[]'",
        "categories": "''",
        "queued_at": "created_at",
        "due_at": "created_at",
        "needs_two": "false",
        "round_version": "0",
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO gallery_review ({', '.join(values)}) SELECT {', '.join(values.values())}"
            " FROM gallery_image WHERE review_status = %s AND trashed_at IS NULL",
            ["pending"],
        )


def _fill_jobs(owner: User, count: int) -> None:
    """Rows as the pipeline writes them, except that they share a hold; of two hundred one has failed."""
    spec = GenerationSpec.parse({"prompt": "Layered fjord ridges at dawn"}, default_image_size="1K")
    price = Price.objects.first()
    assert price is not None
    grant(owner, IMAGE)
    hold, now = reserve(owner, price), timezone.now()
    first = Generation.objects.create(
        user=owner,
        source="rest",
        model=MODELS[0],
        prompt=spec.prompt,
        spec=spec.canonical(),
        fingerprint=spec.fingerprint,
        price=price,
        quoted_micros=IMAGE,
        quota_window=now,
        hold=hold,
        status="succeeded",
        stage="succeeded",
        finished_at=now,
    )
    call = Attempt.objects.create(
        generation=first, run=1, number=1, fence=1, upstream="wisgate", upstream_model=MODELS[0], outcome="ok"
    )
    computed = {
        "id": "id + i",
        "public_id": _new_uuid(),
        "status": "CASE WHEN i %% 200 = 0 THEN 'failed' ELSE status END",
        "error_code": "CASE WHEN i %% 200 = 0 THEN 'timeout' ELSE error_code END",
        "model": f"CASE WHEN i %% 5 = 0 THEN '{MODELS[1]}' ELSE model END",
    }
    columns = [field.column for field in Generation._meta.concrete_fields if not field.generated]
    call_columns = [field.column for field in Attempt._meta.concrete_fields]
    call_computed = {"id": "id + i", "public_id": _new_uuid(), "generation_id": "generation_id + i"}
    with transaction.atomic(), connection.cursor() as cursor:
        for table, names, values, pk in (
            ("generations_generation", columns, computed, first.pk),
            ("generations_attempt", call_columns, call_computed, call.pk),
        ):
            selected = ", ".join(values.get(name, name) for name in names)
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(names)}) {_series(count - 1)}"
                f" SELECT {selected} FROM {table} CROSS JOIN n WHERE id = %s",
                [pk],
            )
        empty = "''::bytea" if connection.vendor == "postgresql" else "x''"
        cursor.execute(
            'INSERT INTO generations_output (generation_id, attempt_id, image_id, "index", is_draft, thought_signature)'
            f" SELECT number + {first.pk - 1}, number + {call.pk - 1}, id, 0, false, {empty} FROM ("
            "  SELECT id, row_number() OVER (ORDER BY id) AS number FROM gallery_image"
            "  WHERE owner_id = %s AND trashed_at IS NULL"
            ") AS mine WHERE number <= %s",
            [owner.pk, count],
        )
