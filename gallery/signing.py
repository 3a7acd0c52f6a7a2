"""Addresses that say for a few minutes who may fetch a file: signed for Django, or for nginx, which then needs none.

What is signed is the path (the variant is a part of it), the end, whom it is for, and how the answer is called.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings

PREFIX = "/signed/"
CREDENTIALS = ("Authorization", "x-goog-api-key")
SESSION_COOKIE = re.compile(r"(?:^|;\s*)(?:__Host-)?sessionid=([^;]+)")  # as deploy/nginx.conf reads it


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What one signed address gives: the stored file `name`, `digest` being the SHA-256 of its bytes in hex."""

    name: str
    digest: str
    download_name: str
    as_attachment: bool
    expires_at: int  # Unix seconds

    @property
    def fields(self) -> dict[str, str]:
        return {
            "e": str(self.expires_at),
            "t": self.digest,
            "n": self.download_name,
            "d": str(int(self.as_attachment)),
        }


def sign(grant: Grant, *, audience: str) -> str:
    """The path and query with which `audience` alone may fetch the file until `expires_at`."""
    key_id = next(iter(settings.URL_SIGNING_KEYS))
    return _address(grant, {"k": key_id, "s": _mac(key_id, grant, audience)})


def verify(name: str, query: dict[str, str], *, audience: str) -> Grant | None:
    """What an address gives to `audience` now; None when it was not signed for that, or is over."""
    if set(query) != {"e", "t", "n", "d", "k", "s"} or query["k"] not in settings.URL_SIGNING_KEYS:
        return None
    if not re.fullmatch(r"\d{1,12}", query["e"], re.ASCII) or query["d"] not in ("0", "1"):
        return None
    grant = Grant(
        name=name,
        digest=query["t"],
        download_name=query["n"],
        as_attachment=query["d"] == "1",
        expires_at=int(query["e"]),
    )
    expected = _mac(query["k"], grant, audience)
    if not hmac.compare_digest(expected.encode(), query["s"].encode()) or grant.expires_at <= time.time():
        return None
    return grant


def sign_for_nginx(grant: Grant, *, credentials: str) -> str:
    """The same for nginx's secure_link; whoever fetches it sends the same `credentials`.

    The module knows no other digest than MD5, over a text that ends with the secret: nobody can lengthen that.
    """
    fields = grant.fields
    text = " ".join(
        [fields["e"], PREFIX + grant.name, fields["t"], fields["n"], fields["d"], credentials, settings.SECURE_LINK_KEY]
    )
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return _address(grant, {"k": base64.urlsafe_b64encode(digest).decode().rstrip("=")})


def credentials_of(headers: Mapping[str, str]) -> str:
    """What a request proves itself with, as deploy/nginx.conf puts it together: the session, and keys in headers."""
    session = SESSION_COOKIE.search(headers.get("Cookie", ""))
    return "|".join([session[1] if session else "", *(headers.get(name, "") for name in CREDENTIALS)])


def keyed_digest(key_id: str, purpose: str, text: str) -> bytes:
    """HMAC-SHA256 by one of URL_SIGNING_KEYS; what is made for one purpose is good for no other."""
    key = settings.URL_SIGNING_KEYS[key_id].encode()
    return hmac.digest(key, f"plantain.{purpose}\n{text}".encode(), "sha256")


def _mac(key_id: str, grant: Grant, audience: str) -> str:
    text = "\n".join([grant.name, audience, *grant.fields.values()])
    return base64.urlsafe_b64encode(keyed_digest(key_id, "file", text)).decode().rstrip("=")


def _address(grant: Grant, proof: dict[str, str]) -> str:
    return f"{PREFIX}{grant.name}?{urlencode(grant.fields | proof)}"
