"""Share links: given away by the owner, ended by a date or by hand, counted, and only for what others may see anyway.

A token is the row's id and a keyed digest of it, so that the owner can read it again and the database gives none away.
"""

import base64
import binascii
import hmac
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput, NotFound
from accounts.models import User
from gallery.models import Image, ShareLink
from gallery.signing import keyed_digest

MAX_LIVE = 20  # links of one picture that answer at the same time
MAX_DAYS = 366
TOKEN_CHARS = 44
MAC_BYTES = 16


def create_link(*, owner: User, public_id: UUID | str, expires_at: datetime | None) -> ShareLink:
    """A new link to a picture of `owner` that others may see; None never ends by itself.

    Raises NotFound, InvalidInput (an end that is past, or more than MAX_DAYS away) and Conflict (not public, or too
    many links).
    """
    now = timezone.now()
    if expires_at is not None and not now < expires_at <= now + timedelta(days=MAX_DAYS):
        raise InvalidInput.of("expires_at", f"A link ends in the future, and within {MAX_DAYS} days, or never.")
    image = Image.objects.owned_by(owner).with_blob().get_public(public_id)
    if not image.is_public:
        raise Conflict(
            "Only a picture that others may see has share links.",
            remedy="Publish it first, or share it by address only; a reviewer approves both.",
        )
    if image.share_links.live(now).count() >= MAX_LIVE:
        raise Conflict(f"This picture has {MAX_LIVE} links already.", remedy="Revoke one of them.")
    return ShareLink.objects.create(image=image, expires_at=expires_at, key_id=next(iter(settings.URL_SIGNING_KEYS)))


def live_links(*, owner: User, public_id: UUID | str) -> list[ShareLink]:
    """The links of a picture of `owner` that open now, the newest first. Raises NotFound."""
    image = Image.objects.owned_by(owner).get_public(public_id)
    if not image.is_public:
        return []
    return [link for link in image.share_links.live(timezone.now()) if _is_ours(link)]


def revoke_link(*, owner: User, public_id: UUID | str, link_id: UUID | str) -> None:
    """End a link at once; a second time changes nothing. Raises NotFound."""
    links = ShareLink.objects.filter(image__owner=owner, image__public_id=public_id, public_id=link_id)
    # Conditional, so that the moment of the first revocation stays.
    if not links.filter(revoked_at=None).update(revoked_at=timezone.now()) and not links.exists():
        raise NotFound


def open_link(token: str) -> ShareLink:
    """The link that this token opens now, with its picture. Raises NotFound, for whatever reason it does not."""
    try:
        decoded = base64.urlsafe_b64decode(token) if len(token) == TOKEN_CHARS else b""
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != 16 + MAC_BYTES + 1 or decoded[-1]:
        raise NotFound
    link = (
        ShareLink.objects.live(timezone.now())
        .select_related("image__blob__poster")
        .filter(public_id=UUID(bytes=decoded[:16]), image__in=Image.objects.public())
        .first()
    )
    if link is None or not _is_ours(link) or not hmac.compare_digest(token_of(link), token):
        raise NotFound
    return link


def count_view(link: ShareLink) -> None:
    """One more person has opened the page of a link; its pictures do not count."""
    ShareLink.objects.filter(pk=link.pk).update(views=F("views") + 1)


def token_of(link: ShareLink) -> str:
    """44 characters, of which 128 bits cannot be guessed; empty when its key is no longer in URL_SIGNING_KEYS."""
    if not _is_ours(link):
        return ""
    mac = keyed_digest(link.key_id, "share", link.public_id.hex)[:MAC_BYTES]
    return base64.urlsafe_b64encode(link.public_id.bytes + mac + b"\0").decode()


def _is_ours(link: ShareLink) -> bool:
    return link.key_id in settings.URL_SIGNING_KEYS
