"""The words of pictures as the engine keeps them: in an FTS5 table on SQLite, in tsvectors on PostgreSQL."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.datastructures import BaseTable

from gallery.models.pictures import Image, ImageQuerySet


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

    class Meta:
        managed = False
        db_table = "gallery_search"

    def __str__(self) -> str:
        return str(self.image_id)


class _FoundByIdAlone(BaseTable):
    """SQLite: the table without its other indexes, so that the planner has to begin with the search."""

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        sql, params = super().as_sql(compiler, connection)
        return (f"{sql} NOT INDEXED" if connection.vendor == "sqlite" else sql), params


def led_by_search(images: ImageQuerySet) -> ImageQuerySet:
    """Those images, read through their search entries.

    SQLite thinks nothing of what a search in a virtual table costs: it would read a person's pictures one by one and
    search anew for each. PostgreSQL has statistics of the words and decides itself.
    """
    images = images.all()
    alias = images.query.get_initial_alias()
    images.query.alias_map[alias] = _FoundByIdAlone(Image._meta.db_table, alias)
    return images
