"""What comes beside a picture: what a search found for it, what the safety filter thought, what it took."""

from collections.abc import Iterator, Mapping
from typing import Any

from generations.wire.reply import Grounding, SafetyRating, Source, is_count, link_of, name_of, storable
from generations.wire.spelling import get

MAX_QUERIES = 20
MAX_QUERY_CHARS = 500
MAX_SOURCES = 100
MAX_RATINGS = 32
MAX_DETAILS = 16
MAX_RENDERED_CHARS = 262_144

_COUNTS = (
    *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"),
    *("cachedContentTokenCount", "totalTokenCount"),
)
_DETAILS = ("promptTokensDetails", "candidatesTokensDetails")


def read_grounding(value: object) -> Grounding | None:
    """The evidence of a search, None where there is none; what cannot be read of it is left out."""
    metadata = value if isinstance(value, dict) else {}
    entry_point = get(metadata, "searchEntryPoint")
    rendered = get(entry_point, "renderedContent") if isinstance(entry_point, dict) else None
    grounding = Grounding(
        web_queries=_read_queries(get(metadata, "webSearchQueries")),
        image_queries=_read_queries(get(metadata, "imageSearchQueries")),
        sources=tuple(_read_sources(get(metadata, "groundingChunks"))),
        rendered_content=_unmodified(rendered) if isinstance(rendered, str) else "",
    )
    return grounding if grounding != Grounding() else None


def _unmodified(html: str) -> str:
    """The HTML as it is, or none of it: cutting or cleaning it would show something else than its author demands."""
    return html if len(html) <= MAX_RENDERED_CHARS and "\x00" not in html else ""


def _read_queries(value: object) -> tuple[str, ...]:
    queries = value if isinstance(value, list) else []
    return tuple(storable(query)[:MAX_QUERY_CHARS] for query in queries if isinstance(query, str))[:MAX_QUERIES]


def _read_sources(value: object) -> Iterator[Source]:
    for chunk in value[:MAX_SOURCES] if isinstance(value, list) else []:
        if not isinstance(chunk, dict):
            continue
        web, image = get(chunk, "web"), get(chunk, "image")
        if isinstance(web, dict) and (uri := link_of(get(web, "uri"))):
            yield _source(uri, web)
        elif isinstance(image, dict) and (uri := link_of(get(image, "sourceUri"))):
            yield _source(uri, image, image_uri=link_of(get(image, "imageUri")))


def _source(uri: str, page: Mapping[str, Any], *, image_uri: str = "") -> Source:
    title, domain = name_of(get(page, "title")), name_of(get(page, "domain"))
    return Source(uri=uri, title=title or "", domain=domain or "", image_uri=image_uri)


def read_safety_ratings(value: object) -> tuple[SafetyRating, ...]:
    """The safety filter's opinions, one for each category."""
    rows = value[:MAX_RATINGS] if isinstance(value, list) else []
    return tuple(
        SafetyRating(
            category=name_of(get(row, "category")) or "",
            probability=name_of(get(row, "probability")) or "",
            blocked=get(row, "blocked") is True,
        )
        for row in rows
        if isinstance(row, dict)
    )


def read_usage(value: object) -> dict[str, Any]:
    """The counts of tokens; what is no count is left out."""
    usage = value if isinstance(value, dict) else {}
    counts = {name: get(usage, name) for name in _COUNTS}
    read: dict[str, Any] = {name: count for name, count in counts.items() if is_count(count)}
    for name in _DETAILS:
        details = get(usage, name)
        rows = [_read_detail(row) for row in details if isinstance(row, dict)] if isinstance(details, list) else []
        if rows:
            read[name] = rows[:MAX_DETAILS]
    return read


def _read_detail(row: dict[str, Any]) -> dict[str, Any]:
    count = get(row, "tokenCount")
    return {"modality": name_of(get(row, "modality")) or "", "tokenCount": count if is_count(count) else 0}
