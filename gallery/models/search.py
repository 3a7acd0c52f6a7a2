"""The words of pictures as the engine keeps them: in an FTS5 table on SQLite, in tsvectors on PostgreSQL."""

from django.db import models

from gallery.models.pictures import Image


class Document(models.TextField):
    """Words in the engine's own form; written and asked by `gallery.search` alone."""


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
