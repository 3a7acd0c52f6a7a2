"""The words of pictures as the engine keeps them: in an FTS5 table on SQLite, in tsvectors on PostgreSQL.

FTS5 reads what it finds in the order of ids. A GIN index of PostgreSQL knows no order: all that has a word is read and
sorted for each page, or the pictures are read one by one until some have it. Therefore entries have their span of 4096
ids as a word, and a search for a frequent word asks for one span after the other, until the page is full. A span
without the word costs a lookup.
"""

import copy
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.db.models.sql.datastructures import BaseTable, Join

from gallery.models.pictures import Image, ImageQuerySet

SPAN_BITS = 12
SPAN_WORD = "#"  # and the number of the span; no word of a text has it


class Document(models.TextField):
    """Words in the engine's own form; written and asked by `gallery.search` alone."""


@Document.register_lookup
class Match(models.Lookup):
    """Whether a document has what a query of the engine's own language asks for."""

    lookup_name = "match"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        document, document_params = self.process_lhs(compiler, connection)
        query, query_params = self.process_rhs(compiler, connection)
        condition = (
            f"{document} @@ {query}::tsquery" if connection.vendor == "postgresql" else f"{document} MATCH {query}"
        )
        return condition, [*document_params, *query_params]


class SearchEntry(models.Model):
    """The words of one picture, under its id; the table is made in a migration by `gallery.search.create_index`."""

    image = models.OneToOneField(
        Image,
        models.DO_NOTHING,  # a trigger does it: the table has no foreign key
        primary_key=True,
        db_column="rowid",
        db_constraint=False,
        related_name="search_entry",
    )
    document = Document()
    span = models.BigIntegerField()  # no column: what `led_by_subquery` puts in the place of the table has it

    class Meta:
        managed = False
        db_table = "gallery_search"

    def __str__(self) -> str:
        return str(self.image_id)


class _FoundByIdAlone(BaseTable):
    """The table without its other indexes, so that the planner has to begin with the search."""

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        sql, params = super().as_sql(compiler, connection)
        return f"{sql} NOT INDEXED", params


def led_by_search(images: ImageQuerySet) -> ImageQuerySet:
    """Those images, read through their search entries on SQLite.

    It thinks nothing of what a search in a virtual table costs: it would read a person's pictures one by one and
    search anew for each.
    """
    images = images.all()
    alias = images.query.get_initial_alias()
    images.query.alias_map[alias] = _FoundByIdAlone(Image._meta.db_table, alias)
    return images


# --- PostgreSQL ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A subquery with `rowid` and `span` of entries, sorted by both."""

    sql: str
    params: tuple[str, ...]


def few_of(query: str, *, descending: bool) -> Found:
    """What a tsquery finds when that is little: read as a whole."""
    way = "DESC" if descending else "ASC"
    # + 0, so that no index of the ids is an order to the planner: it would read that to its end for a rare word.
    return Found(
        f"SELECT rowid + 0 AS rowid, rowid >> {SPAN_BITS} AS span FROM gallery_search WHERE document @@ %s::tsquery"
        f" ORDER BY 2 {way}, 1 {way}",
        (query,),
    )


def spans_of(query: str, *, descending: bool) -> Found:
    """What a tsquery finds, span after span: as much of it is read as is asked for."""
    way = "DESC" if descending else "ASC"
    return Found(
        "SELECT entry.rowid, spans.span"
        f" FROM (SELECT span FROM generate_series(0, (SELECT max(rowid) >> {SPAN_BITS} FROM gallery_search)) AS span"
        f" ORDER BY 1 {way}) AS spans"
        " CROSS JOIN LATERAL (SELECT rowid + 0 AS rowid FROM gallery_search"
        f" WHERE document @@ (%s::text || quote_literal('{SPAN_WORD}' || spans.span))::tsquery ORDER BY 1 {way})"
        f" AS entry ORDER BY spans.span {way}, entry.rowid {way}",
        (f"{query} & ",),
    )


class _Subquery(Join):
    """A join with what was found instead of the table."""

    found: Found

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        sql, params = super().as_sql(compiler, connection)
        table = compiler.quote_name_unless_alias(self.table_name)
        head, _, condition = sql.partition(table)
        return f"{head}({self.found.sql}) AS {table}{condition}", [*self.found.params, *params]

    def relabeled_clone(self, change_map: Any) -> Any:
        clone = super().relabeled_clone(change_map)
        clone.found = self.found
        return clone


def led_by_subquery(images: ImageQuerySet, found: Found) -> ImageQuerySet:
    """Those of the images that were found, with its columns as `place` and `span`, in its order if ordered by both."""
    images = images.filter(search_entry__isnull=False)
    # Before the table is replaced: a join that is asked for later would be another one.
    images = images.annotate(place=F("search_entry__image_id"), span=F("search_entry__span"))
    aliases = images.query.alias_map
    join = copy.copy(aliases[SearchEntry._meta.db_table])
    join.__class__ = _Subquery
    join.found = found
    aliases[SearchEntry._meta.db_table] = join
    return images
