"""What stands behind a picture: the model's thoughts and drafts, and the pages it found. Third-party: shown as text."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from generations.models import Attempt, DraftPreview, Evidence, Generation


@dataclass(frozen=True, slots=True)
class Source:
    """A page that a picture rests on; `uri` is http or https."""

    uri: str
    title: str
    domain: str

    @property
    def name(self) -> str:
        return self.title or self.domain or urlsplit(self.uri).hostname or self.uri


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the searches of one wish brought, each query and page once."""

    queries: tuple[str, ...]
    sources: tuple[Source, ...]


def thoughts_of(generation: Generation) -> str:
    """What the model thought in the last run, the calls parted by an empty line; reads `attempts`."""
    return "\n\n".join(attempt.thoughts for attempt in _calls(generation) if attempt.thoughts)


def previews_of(generation: Generation) -> list[DraftPreview]:
    """The drafts that have come of the calls in flight, in their order; reads `attempts` and their `previews`."""
    if generation.is_terminal:
        return []
    previews = [preview for attempt in _calls(generation) for preview in attempt.previews.all()]
    return sorted(previews, key=lambda preview: preview.pk)


def grounding_of(generation: Generation) -> Grounding | None:
    """The evidence of the last run's calls, None where nothing was searched or it has been dropped since.

    Reads `attempts` and their `evidence`.
    """
    found = [evidence for attempt in _calls(generation) if (evidence := evidence_of(attempt))]
    if not found:
        return None
    queries = dict.fromkeys(str(query) for evidence in found for query in evidence.queries)
    sources: dict[str, Source] = {}
    for evidence in found:
        for each in evidence.sources:
            source = Source(str(each["uri"]), str(each.get("title") or ""), str(each.get("domain") or ""))
            if is_page(source.uri):
                sources.setdefault(source.uri, source)
    return Grounding(tuple(queries), tuple(sources.values()))


def evidence_of(attempt: Attempt) -> Evidence | None:
    """What a search brought for this call; reads `evidence`."""
    return getattr(attempt, "evidence", None)


def is_page(uri: str) -> bool:
    """Whether it may stand in a link: an address of the web and nothing that runs."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _calls(generation: Generation) -> list[Attempt]:
    return [attempt for attempt in generation.attempts.all() if attempt.run == generation.run]
