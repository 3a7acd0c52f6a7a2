"""Everything that one person has here as a ZIP: JSON files with stable names, and the pictures byte for byte.

It has nothing of anybody else: who decided about a picture or reported it is left out, and so is what a search of a
third party brought. Written piece by piece: memory holds one row and a part of one picture at a time.
"""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO

import orjson
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from accounts import exports, quotas
from accounts.ledger import format_usd
from accounts.models import ApiKey, User
from accounts.periods import Period
from gallery import storage
from gallery.models import Image, Report, ReviewStep, ShareLink
from gallery.review.reports import token_of
from generations import receipts
from generations.models import Attempt, Generation, Output

FORMAT = "plantain.export/1"
CHUNK_BYTES = 1024 * 1024
BATCH = 200
# The steps of the review that tell its owner something; how reviewers divide their work is no data of the owner's.
TOLD = ("request", "withdraw", "approve", "reject", "quarantine", "report", "appeal", "erase")


@dataclass
class Summary:
    """How many of each are in it, and the pictures whose file is missing in the storage."""

    generations: int = 0
    images: int = 0
    receipts: int = 0
    missing_files: list[str] = field(default_factory=list)


def write_archive(user: User, target: BinaryIO) -> Summary:
    """Write the ZIP of this user and flush it to the disk. Raises OSError.

    Precondition: no open transaction, as this waits for the storage.
    """
    summary = Summary()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        _write_json(archive, "profile.json", _profile(user))
        _write_list(archive, "keys.json", map(_key, ApiKey.objects.filter(user=user).order_by("pk").iterator()))
        _write_list(archive, "generations.json", _generations(user, summary))
        _write_list(archive, "images.json", _images(user, summary))
        _write_list(archive, "reviews.json", _reviews(user))
        _write_list(archive, "reports.json", _reports(user))
        statement = exports.prepare(user, Period())
        _write_pieces(archive, "statement.json", exports.stream_json(statement))
        _write_pieces(archive, "statement.csv", exports.stream_csv(statement))
        _write_pictures(archive, user, summary)
        _write_json(archive, "export.json", _head(user, summary))
    target.flush()
    return summary


# --- What it says --------------------------------------------------------------------------------


def _head(user: User, summary: Summary) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "issuer": settings.SITE_URL,
        "made_at": timezone.now(),
        "account": user.public_id,
        "generations": summary.generations,
        "images": summary.images,
        "receipts": summary.receipts,
        "missing_files": summary.missing_files,
    }


def _profile(user: User) -> dict[str, Any]:
    addresses = EmailAddress.objects.filter(user=user).order_by("pk").values("email", "verified", "primary")
    sessions = UserSession.objects.filter(user=user).order_by("pk")
    proofs = Authenticator.objects.filter(user=user).order_by("pk")
    return {
        "id": user.public_id,
        "email": user.email,
        "name": user.name,
        "hears_of_approvals": user.hears_of_approvals,
        "plan": user.plan.name,
        "is_staff": user.is_staff,
        "created_at": user.created_at,
        "last_login_at": user.last_login,
        "email_addresses": list(addresses),
        "limits": {name: getattr(quotas.limits_for(user), name) for name in quotas.MEASURES},
        "second_factors": list(proofs.values("type", "created_at", "last_used_at")),
        "sessions": list(sessions.values("ip", "user_agent", "created_at", "last_seen_at")),
    }


def _key(key: ApiKey) -> dict[str, Any]:
    budget = None if key.budget_micros is None else format_usd(key.budget_micros)
    return {
        "id": key.public_id,
        "name": key.name,
        "starts_with": f"nbk_live_{key.lookup}",
        "ends_with": key.last_four,
        "scopes": key.scopes,
        "budget": budget,
        "budget_period": key.budget_period or None,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _generations(user: User, summary: Summary) -> Iterator[dict[str, Any]]:
    own = Generation.objects.filter(user=user).with_ancestry()
    rows = own.select_related("api_key", "reused_from").order_by("pk")
    for generation in rows.prefetch_related("attempts", "outputs__image").iterator(chunk_size=BATCH):
        summary.generations += 1
        yield {
            "id": generation.public_id,
            "source": generation.source,
            "api_key": generation.api_key.public_id if generation.api_key else None,
            "kind": generation.kind,
            "model": generation.model,
            "prompt": generation.prompt,
            "wish": generation.spec,
            "status": generation.status,
            "text": generation.text,
            "error_code": generation.error_code or None,
            "error_detail": generation.error_detail or None,
            "parent": generation.parent_public_id,
            "reused_from": generation.reused_from.public_id if generation.reused_from else None,
            "quoted": format_usd(generation.quoted_micros),
            "charged": format_usd(generation.charged_micros),
            "created_at": generation.created_at,
            "started_at": generation.started_at,
            "finished_at": generation.finished_at,
            "attempts": [_attempt(attempt) for attempt in generation.attempts.all()],
            "images": [_output(output) for output in generation.outputs.all() if output.is_kept],
        }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "text": attempt.text,
        "thoughts": attempt.thoughts,
        "sent_at": attempt.sent_at,
        "finished_at": attempt.finished_at,
    }


def _output(output: Output) -> dict[str, Any]:
    return {"id": output.image.public_id, "is_draft": output.is_draft}


def _images(user: User, summary: Summary) -> Iterator[dict[str, Any]]:
    for image in _pictures(user):
        summary.images += 1
        yield {
            "id": image.public_id,
            "file": _file_name(image),
            "kind": image.kind,
            "title": image.title,
            "alt_text": image.alt_text,
            "prompt": image.prompt,
            "caption": image.caption,
            "model": image.model or None,
            "aspect_ratio": image.aspect_ratio or None,
            "image_size": image.image_size or None,
            "generation": image.source_reference or None,
            "visibility": image.visibility,
            "discloses_prompt": image.discloses_prompt,
            "review_status": image.review_status,
            "favourite": image.is_favourite,
            "collections": [collection.name for collection in image.collections.all()],
            "share_links": [_share_link(link) for link in image.share_links.all()],
            "sha256": image.blob.sha256,
            "byte_size": image.blob.byte_size,
            "mime_type": image.blob.mime_type,
            "width": image.blob.width,
            "height": image.blob.height,
            "created_at": image.created_at,
            "trashed_at": image.trashed_at,
        }


def _share_link(link: ShareLink) -> dict[str, Any]:
    return {
        "created_at": link.created_at,
        "expires_at": link.expires_at,
        "revoked_at": link.revoked_at,
        "views": link.views,
    }


def _reviews(user: User) -> Iterator[dict[str, Any]]:
    steps = ReviewStep.objects.filter(review__image__owner=user, verb__in=TOLD, undone_by=None).order_by("pk")
    # What one of two people proposes is not told before they agree.
    steps = steps.exclude(~Q(proposed="") & Q(to_status=F("from_status")))
    for step in steps.select_related("review__image", "reason", "statement", "appeal").iterator():
        statement, appeal = getattr(step, "statement", None), getattr(step, "appeal", None)
        yield {
            "image": step.review.image.public_id,
            "what": step.verb,
            "review_status": step.to_status,
            "visibility": step.visibility,
            "reason": step.reason.code if step.reason else None,
            "reason_version": step.reason.version if step.reason else None,
            "reason_text": step.reason.user_text if step.reason else None,
            "is_automated": step.is_automated,
            "statement": {"facts": statement.facts, "money": statement.money} if statement else None,
            "your_appeal": {"text": appeal.text, "created_at": appeal.created_at} if appeal else None,
            "created_at": step.created_at,
        }


def _reports(user: User) -> Iterator[dict[str, Any]]:
    reports = Report.objects.filter(reporter=token_of(user, "")).order_by("pk")
    for report in reports.select_related("reason", "approval__review__image").iterator():
        yield {
            "image": report.approval.review.image.public_id,
            "reason": report.reason.code,
            "note": report.note,
            "created_at": report.created_at,
        }


# --- How it is written ---------------------------------------------------------------------------


def _pictures(user: User) -> Iterator[Image]:
    rows = Image.objects.owned_by(user).with_blob().prefetch_related("collections", "share_links")
    return rows.order_by("pk").iterator(chunk_size=BATCH)


def _file_name(image: Image) -> str:
    return f"images/{image.public_id}.{storage.EXTENSIONS[image.blob.mime_type]}"


def _write_pictures(archive: zipfile.ZipFile, user: User, summary: Summary) -> None:
    for image in _pictures(user):
        try:
            with storage.open_stored(image.blob.storage_name) as file:
                _write_file(archive, _file_name(image), file, at=image.created_at)
        except FileNotFoundError:
            summary.missing_files.append(_file_name(image))
    made = Output.objects.filter(image__owner=user, image__purged_at=None).order_by("pk")
    for public_id in made.values_list("image__public_id", flat=True).iterator():
        archive.writestr(f"receipts/{public_id}.json", receipts.receipt_of(user=user, public_id=public_id))
        summary.receipts += 1


def _write_file(archive: zipfile.ZipFile, name: str, file: IO[bytes], *, at: datetime) -> None:
    entry = zipfile.ZipInfo(name, date_time=at.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_STORED  # pictures are compressed already
    with archive.open(entry, "w", force_zip64=True) as writer, closing(file):
        while chunk := file.read(CHUNK_BYTES):
            writer.write(chunk)


def _write_json(archive: zipfile.ZipFile, name: str, document: dict[str, Any]) -> None:
    archive.writestr(name, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _write_list(archive: zipfile.ZipFile, name: str, rows: Iterable[dict[str, Any]]) -> None:
    def pieces() -> Iterator[bytes]:
        before = b"[\n"
        for row in rows:
            yield before + orjson.dumps(row)
            before = b",\n"
        yield b"[]\n" if before == b"[\n" else b"\n]\n"

    _write_pieces(archive, name, pieces())


def _write_pieces(archive: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> None:
    with archive.open(name, "w", force_zip64=True) as writer:
        for piece in pieces:
            writer.write(piece)
