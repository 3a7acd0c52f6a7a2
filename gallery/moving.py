"""All files that rows name, copied from one store to the other while pictures are made and looked at."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet

from gallery import storage
from gallery.models import Blob, Rendition

BATCH = 200
AT_ONCE = 8  # a bucket answers late and not slowly


@dataclass(frozen=True)
class Wanted:
    """A file that a row names, and what it must be."""

    name: str
    sha256: str
    byte_size: int


@dataclass
class Moved:
    """How many files were there already or were copied, and the names of those that could not be."""

    there: int = 0
    copied: int = 0
    missing: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)


def move(*, source: str, target: str, apply: bool) -> Moved:
    """Copy what is not in `target` yet, each file after its digest was found right; nothing is removed.

    May be interrupted and called again. Without `apply` it only counts. Raises OSError.
    """
    report = Moved()
    wanted = _wanted()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="move") as pool:
        while batch := list(islice(wanted, BATCH)):
            results = pool.map(lambda each: _copy(each, source, target, apply), batch)
            for each, result in zip(batch, results, strict=True):
                match result:
                    case "there":
                        report.there += 1
                    case "copied":
                        report.copied += 1
                    case _:
                        getattr(report, result).append(each.name)
    return report


def _wanted() -> Iterator[Wanted]:
    for row in chain(_rows(Blob.objects.all()), _rows(Rendition.objects.select_related("blob"))):
        yield Wanted(row.storage_name, row.sha256, row.byte_size)


def _rows(rows: QuerySet[Any]) -> Iterator[Any]:
    """All by their keys: a cursor that stays open for hours would keep SQLite from shortening its log."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _copy(wanted: Wanted, source: str, target: str, apply: bool) -> str:
    """A field of Moved. Runs in a thread, and touches no database."""
    if storage.named(target).size_of(wanted.name) == wanted.byte_size:
        return "there"
    try:
        file = storage.named(source).open(wanted.name)
    except FileNotFoundError:
        return "missing"
    if not apply:
        file.close()
        return "copied"
    with storage.staged() as path:
        with file, path.open("xb") as writer:
            storage.copy_durably(file, writer)
        if storage.digest_of(path) != wanted.sha256:
            return "corrupt"
        storage.put(path, wanted.name, sha256=wanted.sha256, byte_size=wanted.byte_size)
    return "copied"
