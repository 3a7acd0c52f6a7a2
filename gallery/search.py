"""Full-text search over titles, prompts, captions and alternative texts, the same on both engines.

The words are cut here and not by an engine, so that both find the same: letters and digits without case and accents,
and where people write without spaces each character by itself, found again as a phrase. What is asked is: all words;
"words in a row"; -not this; begin* of a word. Everything else is punctuation.

An entry has its owner as a word too (`@7`), which no text can contain: a search never meets the pictures of others.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from django.db import connection, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import RawSQL

from gallery.models import Image, ImageQuerySet

MAX_FIELD_CHARS = 20_000  # of a text are searched: a caption has no limit, and an entry must always be storable
MAX_WORD_CHARS = 100
FIELDS = ("title", "prompt", "caption", "alt_text")
TABLE = "gallery_search"
BATCH = 1000
PURGED, MERGING = "@purged", "@merging"  # all that stands in the entry of a purged image, and no text can contain
MAX_MARKED = 5000
MERGE_PAGES = 250  # of 4 KiB: the other writers wait for as long as one step takes, some 40 ms
MERGE_STEPS = 400
SPAN_BITS = 12
SPAN_WORD = "#"  # and the number of the span; no word of a text has it
FEW = 2000  # so many entries PostgreSQL reads and sorts for a page
MUCH = 10  # times: a span without a word costs it less than so many pictures that are looked up

_BETWEEN_FIELDS = "@"  # a word of its own, so that no phrase begins in a title and ends in a prompt
_ACCENTS = re.compile("[\u0300-\u036f]")
# Thai to Khmer, kana, Han: written without spaces between words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+")
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')
_QUOTES = str.maketrans("“”„«»", '"""""')


@dataclass(frozen=True)
class Term:
    """Words that stand in a row; with `is_prefix` the last one may go on."""

    words: tuple[str, ...]
    is_excluded: bool = False
    is_prefix: bool = False


def words_of(text: str) -> list[str]:
    """The words of a text in the form that is searched."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    # Once more: compatibility forms may hold capitals, and what was taken apart for its accents is put together.
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(unicodedata.normalize("NFC", plain.casefold()))]


def terms_of(query: str) -> list[Term]:
    """What a person asks for; empty when there is no word in it."""
    terms = []
    for minus, phrase, plain in _TERM.findall(query.translate(_QUOTES)):
        if words := words_of(phrase or plain):
            terms.append(Term(tuple(words), is_excluded=bool(minus), is_prefix=plain.endswith("*")))
    return terms


@dataclass(frozen=True)
class Search:
    """Those of `images` that their owner's query finds; none for a query without a word."""

    images: ImageQuerySet
    owner_id: int
    query: str

    def page(self, images: ImageQuerySet, *, low: int, high: int, limit: int, is_descending: bool) -> ImageQuerySet:
        """The first `limit` of all `images` or some of them, from one id to another, in their order.

        The entries are read in the order of ids, and each is looked up in `images`.
        """
        if not self._asked:
            return images.none()
        asked, way = self._asked, "DESC" if is_descending else "ASC"
        looked_up = images.filter(pk=RawSQL("entry.rowid", ())).order_by().values("pk").query.sql_with_params()
        wanted = _Wanted(*looked_up, low=low, high=high, limit=limit, way=way)
        rows = images.order_by("-pk" if is_descending else "pk")
        if connection.vendor != "postgresql":
            return rows.filter(pk__in=_fts5_ids(asked, wanted))
        of_words, of_images = self._expected
        if of_words <= FEW:
            return rows.filter(pk__in=_ids_of_few(asked, wanted))
        if of_images < of_words / MUCH:
            return rows.filter(_has_entry(asked), pk__range=(low, high))[:limit]
        return rows.filter(pk__in=_ids_by_span(asked, wanted))

    @cached_property
    def _asked(self) -> list[Term]:
        terms = terms_of(self.query)
        return [Term((_owner_word(self.owner_id),)), *terms] if terms else []

    @cached_property
    def _expected(self) -> tuple[int, int]:
        return _expected(_tsquery(self._asked), self.images)


@dataclass(frozen=True)
class _Wanted:
    """The page of a search: which entries, and the query that looks one up in the images."""

    looked_up: str
    looked_up_params: tuple[Any, ...]
    low: int
    high: int
    limit: int
    way: str

    @property
    def fits(self) -> str:
        # With an offset it stays what it is: no planner makes a join of it, which might begin with all the pictures.
        return f"EXISTS ({self.looked_up} LIMIT 1 OFFSET 0)"


def index(images: Iterable[Image], *, using: BaseDatabaseWrapper | Any = connection) -> None:
    """Keep the words of these images, replacing what was kept; belongs in the transaction that changed them."""
    statement = f"INSERT OR REPLACE INTO {TABLE} (rowid, document) VALUES (%s, %s)"
    as_document: Callable[[int, list[str]], str] = _fts5_document
    if using.vendor == "postgresql":
        statement = (
            f"INSERT INTO {TABLE} (rowid, document) VALUES (%s, %s::tsvector)"
            " ON CONFLICT (rowid) DO UPDATE SET document = excluded.document"
        )
        as_document = _tsvector
    entries: Iterator[tuple[int, str]] = ((image.pk, as_document(image.pk, _words_of_image(image))) for image in images)
    with using.cursor() as cursor:
        while batch := list(islice(entries, BATCH)):
            cursor.executemany(statement, batch)


def forget(image_ids: list[int]) -> None:
    """Keep no words of these purged images; belongs in the transaction that purges them.

    FTS5 keeps them in its older parts for a while. What stands in their entries until then tells `forget_purged`.
    """
    if connection.vendor == "sqlite":
        _mark(image_ids, PURGED)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE rowid = ANY(%s)", [image_ids])


def forget_deleted() -> None:
    """Write the index anew without the words of entries that were replaced: FTS5 keeps them until it merges its parts.

    It takes a second for each few hundred thousand entries, so it is for words that must not be left anywhere now.
    """
    if connection.vendor == "sqlite":
        purged = [*_marked(PURGED), *_marked(MERGING)]
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('optimize')")
        _drop(purged)


def forget_purged(*, pages: int = MERGE_PAGES, steps: int = MERGE_STEPS) -> int:
    """Go on merging FTS5's parts until the words of purged images have left it; how many images are done with.

    At most `steps` times, each of them for about `pages` pages and with the write lock for itself alone. What is not
    finished goes on with the next call, in whichever process. Precondition: no open transaction.
    """
    if connection.vendor != "sqlite":
        return 0
    merging = _marked(MERGING)
    size = pages
    if not merging:
        merging = _marked(PURGED)
        if not merging:
            return 0
        # Those that are purged from now on are in newer parts, which this merge may not have.
        _mark(merging, MERGING)
        size = -pages  # takes all parts together, as 'optimize' does; afterwards a positive number goes on with them
    # By default a step does nothing where there are fewer than 4 new parts and as many of them as are being merged: it
    # would look finished while somebody else writes.
    _command("usermerge", 2)
    for _ in range(steps):
        if not _merge(size):
            _drop(merging)
            return len(merging)
        size = pages
    return 0


def _merge(pages: int) -> bool:
    """Whether there was anything to do; as FTS5 tells it, by the number of rows that it has changed."""
    connection.ensure_connection()
    before = connection.connection.total_changes
    _command("merge", pages)
    return connection.connection.total_changes - before >= 2


def _command(name: str, number: int) -> None:
    """One of FTS5's own commands, which are written as a row."""
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES (%s, %s)", [name, number])


def _marked(mark: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT rowid FROM {TABLE} WHERE document MATCH %s LIMIT {MAX_MARKED}", [f'"{mark}"'])
        return [row[0] for row in cursor.fetchall()]


def _mark(image_ids: list[int], mark: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT OR REPLACE INTO {TABLE} (rowid, document) VALUES (%s, %s)", [(pk, mark) for pk in image_ids]
        )


def _drop(image_ids: list[int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {TABLE} WHERE rowid = %s", [(pk,) for pk in image_ids])


def _words_of_image(image: Image) -> list[str]:
    words = [_owner_word(image.owner_id)]
    seen: set[str] = set()
    for name in FIELDS:
        text = getattr(image, name)[:MAX_FIELD_CHARS]
        if text and text not in seen:  # the alternative text begins as the caption
            seen.add(text)
            words += [_BETWEEN_FIELDS, *words_of(text)]
    return words


def _owner_word(owner_id: int) -> str:
    return f"@{owner_id}"


# --- SQLite --------------------------------------------------------------------------------------


def _fts5_document(pk: int, words: list[str]) -> str:
    return " ".join(words)


def _fts5_ids(asked: list[Term], wanted: _Wanted) -> RawSQL:
    return RawSQL(  # noqa: S611
        f"SELECT entry.rowid FROM {TABLE} AS entry WHERE document MATCH %s AND entry.rowid BETWEEN %s AND %s"
        f" AND {wanted.fits} ORDER BY entry.rowid {wanted.way} LIMIT %s",
        [_fts5_query(asked), wanted.low, wanted.high, *wanted.looked_up_params, wanted.limit],
    )


def _fts5_query(terms: list[Term]) -> str:
    # A word has no quote in it: there is nothing to escape.
    phrases = [(f'"{" ".join(term.words)}"{"*" if term.is_prefix else ""}', term.is_excluded) for term in terms]
    wanted = " AND ".join(phrase for phrase, is_excluded in phrases if not is_excluded)
    return f"({wanted})" + "".join(f" NOT {phrase}" for phrase, is_excluded in phrases if is_excluded)


# --- PostgreSQL ----------------------------------------------------------------------------------


# A GIN index knows no order: all that it finds is read and sorted, or if that is much, one span of ids after the other.


def _ids_of_few(asked: list[Term], wanted: _Wanted) -> RawSQL:
    return RawSQL(  # noqa: S611
        f"WITH found AS MATERIALIZED"
        f" (SELECT rowid FROM {TABLE} WHERE document @@ %s::tsquery AND rowid BETWEEN %s AND %s)"
        f" SELECT entry.rowid FROM found AS entry WHERE {wanted.fits} ORDER BY entry.rowid {wanted.way} LIMIT %s",
        [_tsquery(asked), wanted.low, wanted.high, *wanted.looked_up_params, wanted.limit],
    )


def _ids_by_span(asked: list[Term], wanted: _Wanted) -> RawSQL:
    """An entry has its span of 4096 ids as a word (`#2`), so that a span without what is asked for costs a lookup.

    The index would collect all that begins like a prefix for each span anew, so they are compared in the entries.
    """
    words = f"{_tsquery([term for term in asked if not term.is_prefix])} & "
    prefixes = [term for term in asked if term.is_prefix]
    # As a function it is no condition that an index could serve.
    compared = " AND ts_match_vq(document, %s::tsquery)" if prefixes else ""
    compared_params = [_tsquery(prefixes)] if prefixes else []
    way = wanted.way
    # + 0, so that the index of ids is no order: the planner would read that.
    entries = (
        f"SELECT rowid + 0 AS rowid FROM {TABLE}"
        f" WHERE document @@ (%s::text || quote_literal('{SPAN_WORD}' || span))::tsquery{compared}"
        f" AND rowid BETWEEN %s AND %s ORDER BY 1 {way}"
    )
    return RawSQL(  # noqa: S611
        f"SELECT page.rowid FROM (SELECT span FROM generate_series(%s::bigint >> {SPAN_BITS},"
        f" LEAST(%s, (SELECT max(rowid) FROM {TABLE})) >> {SPAN_BITS}) AS span ORDER BY span {way}) AS spans"
        f" CROSS JOIN LATERAL (SELECT entry.rowid FROM ({entries}) AS entry WHERE {wanted.fits}"
        f" ORDER BY entry.rowid {way} LIMIT %s) AS page ORDER BY spans.span {way}, page.rowid {way} LIMIT %s",
        [
            *(wanted.low, wanted.high, words, *compared_params, wanted.low, wanted.high),
            *(*wanted.looked_up_params, wanted.limit, wanted.limit),
        ],
    )


def _has_entry(asked: list[Term]) -> RawSQL:
    """The condition that a picture is found, for pictures that are few beside the entries with these words."""
    return RawSQL(  # noqa: S611
        f"EXISTS (SELECT 1 FROM {TABLE} WHERE rowid = gallery_image.id"
        " AND ts_match_vq(document, %s::tsquery) OFFSET 0)",
        [_tsquery(asked)],
        output_field=models.BooleanField(),
    )


def _expected(query: str, images: ImageQuerySet) -> tuple[int, int]:
    """How many entries the planner expects of a query, and how many images, by its statistics."""
    fitting, params = images.order_by().values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) WITH words AS MATERIALIZED (SELECT 1 FROM {TABLE} WHERE document @@ %s::tsquery),"
            f" images AS MATERIALIZED ({fitting}) SELECT 1 FROM words, images",
            [query, *params],
        )
        (plan,) = cursor.fetchone()[0]
    rows = {part.get("Subplan Name"): part["Plan Rows"] for part in plan["Plan"]["Plans"]}
    return rows["CTE words"], rows["CTE images"]


def _tsvector(pk: int, words: list[str]) -> str:
    placed = [f"'{word}':{position}" for position, word in enumerate(words, start=1)]
    return " ".join([*placed, f"'{SPAN_WORD}{pk >> SPAN_BITS}'"])


def _tsquery(terms: list[Term]) -> str:
    parts = []
    for term in terms:
        row = " <-> ".join(f"'{word}'" for word in term.words) + (":*" if term.is_prefix else "")
        parts.append(f"!({row})" if term.is_excluded else f"({row})")
    return " & ".join(parts)


# --- The index itself ----------------------------------------------------------------------------


def create_index(using: BaseDatabaseWrapper) -> None:
    """Make the table; called once, by a migration."""
    with using.cursor() as cursor:
        if using.vendor == "postgresql":
            cursor.execute(f"CREATE TABLE {TABLE} (rowid bigint PRIMARY KEY, document tsvector NOT NULL)")
            cursor.execute(f"CREATE INDEX {TABLE}_words ON {TABLE} USING gin (document)")
        else:
            # The words are cut already: this tokenizer takes every letter beyond ASCII as it is.
            cursor.execute(f"CREATE VIRTUAL TABLE {TABLE} USING fts5 (document, tokenize = 'ascii tokenchars ''@''')")


def name_spans(using: BaseDatabaseWrapper) -> None:
    """Give each entry of PostgreSQL its span as a word; called once, by a migration."""
    if using.vendor != "postgresql":
        return
    with using.cursor() as cursor:
        # Made anew: of an index whose first entries were all replaced, the engine takes every word for a rare one.
        cursor.execute(f"DROP INDEX {TABLE}_words")
        cursor.execute(
            f"UPDATE {TABLE} SET document = document ||"
            f" array_to_tsvector(ARRAY['{SPAN_WORD}' || (rowid >> {SPAN_BITS})])"
        )
        cursor.execute(f"CREATE INDEX {TABLE}_words ON {TABLE} USING gin (document)")


def drop_index(using: BaseDatabaseWrapper) -> None:
    """The migration taken back."""
    with using.cursor() as cursor:
        if using.vendor == "postgresql":
            cursor.execute(f"DROP FUNCTION IF EXISTS {TABLE}_forget CASCADE")
        else:
            cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_forget")
        cursor.execute(f"DROP TABLE {TABLE}")


def install_triggers(using: BaseDatabaseWrapper) -> None:
    """Let an entry go with its image; repeated after each migrate, as SQLite drops triggers with a remade table."""
    if not {TABLE, Image._meta.db_table} <= set(using.introspection.table_names()):
        return
    with using.cursor() as cursor:
        for statement in _POSTGRESQL_TRIGGERS if using.vendor == "postgresql" else _SQLITE_TRIGGERS:
            cursor.execute(statement)


_SQLITE_TRIGGERS = (
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_forget AFTER DELETE ON gallery_image"
    f" BEGIN DELETE FROM {TABLE} WHERE rowid = OLD.id; END",
)
_POSTGRESQL_TRIGGERS = (
    f"CREATE OR REPLACE FUNCTION {TABLE}_forget() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$BEGIN IF TG_OP = 'TRUNCATE' THEN TRUNCATE {TABLE}; ELSE DELETE FROM {TABLE} WHERE rowid = OLD.id; END IF;"
    f" RETURN NULL; END$$",
    f"CREATE OR REPLACE TRIGGER {TABLE}_forget AFTER DELETE ON gallery_image"
    f" FOR EACH ROW EXECUTE FUNCTION {TABLE}_forget()",
    f"CREATE OR REPLACE TRIGGER {TABLE}_forget_all AFTER TRUNCATE ON gallery_image"
    f" FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_forget()",
)


def fill_index(images: models.QuerySet[Any], *, using: BaseDatabaseWrapper) -> None:
    """Index every image, a few at a time."""
    index(images.only("pk", "owner_id", *FIELDS).iterator(chunk_size=BATCH), using=using)
