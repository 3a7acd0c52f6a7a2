"""The pages that a picture rests on, where a search came before it: third-party text, kept as little as is of use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_SOURCES = 20
MAX_URI_CHARS = 2000
MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Source:
    """A page, at an address that may stand in a link; `name` is what it calls itself, and may be empty."""

    uri: str
    name: str

    @property
    def host(self) -> str:
        return urlsplit(self.uri).hostname or ""


def keepable(found: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
    """Of what a search brought (`uri`, `title`, `domain`) what a picture keeps: each https page once, MAX_SOURCES."""
    kept: dict[str, dict[str, str]] = {}
    for each in found:
        uri = str(each.get("uri") or "")
        if len(kept) < MAX_SOURCES and len(uri) <= MAX_URI_CHARS and is_linkable(uri):
            name = " ".join(str(each.get("title") or each.get("domain") or "").replace("\0", "").split())
            kept.setdefault(uri, {"uri": uri, "name": name[:MAX_NAME_CHARS]})
    return list(kept.values())


def read(kept: Iterable[Mapping[str, object]]) -> list[Source]:
    """Those that were kept, asked once more whether they may be linked to."""
    sources = (Source(str(each.get("uri") or ""), str(each.get("name") or "")) for each in kept)
    return [source for source in sources if is_linkable(source.uri)]


def is_linkable(uri: str) -> bool:
    """Whether it is an https address of a host, without a name or password in front and without white space."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    has_secrets = parts.username is not None or parts.password is not None
    is_plain = uri.isprintable() and not any(sign.isspace() for sign in uri)
    return parts.scheme == "https" and bool(parts.hostname) and not has_secrets and is_plain and port != 0
