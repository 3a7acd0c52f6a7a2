"""What an upstream says before its answer is whole: thoughts and drafts, shown while a job runs and gone with the call.

The spool and the reading at the end know nothing of this: what is shown here is never stored as a picture, charged or
adopted, and whatever fails here costs nothing but the look.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from accounts.errors import NotFound
from accounts.models import User
from gallery import services as gallery
from gallery.decode_pool import DecodePoolError
from gallery.imaging import OUTPUT_LIMITS, ImageRejected, decode_base64_to_file
from gallery.services import Preview
from generations import events, spool
from generations.leases import Lease, LeaseLost
from generations.models import Attempt, DraftPreview
from generations.wire.gemini import Piece
from generations.wire.reply import InlineImage

log = structlog.get_logger(__name__)

EVERY_S = 0.5  # between two writes of one job, whatever its upstream sends
MAX_CHARS = 20_000  # of the thoughts of one call; the whole of them comes with the answer
MAX_DRAFTS = 4  # of one call
PATIENCE_S = 2.0  # an answer that is whole waits no longer for a look at its drafts


@dataclass
class _News:
    """What has come of one call."""

    attempt: Attempt
    thoughts: str = ""
    is_changed: bool = False
    drafts_left: int = MAX_DRAFTS
    drafts: deque[InlineImage] = field(default_factory=deque)

    @property
    def is_there(self) -> bool:
        return self.is_changed or bool(self.drafts)


class Interim:
    """Shows what comes of the calls of one job. The calls' threads only leave it here; a thread of its own writes."""

    def __init__(self, lease: Lease, *, every_s: float = EVERY_S) -> None:
        self._lease = lease
        self._every_s = every_s
        self._changed = threading.Condition()
        self._news: list[_News] = []
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Interim":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def sink(self, attempt: Attempt) -> Callable[[Piece], None]:
        """Takes the pieces of this call; never waits, never raises, and what is beyond the caps is passed over."""
        news = _News(attempt)
        with self._changed:
            self._news.append(news)
        return lambda piece: self._take(news, piece)

    def close(self) -> None:
        """Show nothing more; a write under way is waited for, though not for long."""
        with self._changed:
            self._is_closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            # One that takes longer comes too late: its attempt is concluded then, so that it writes nothing.
            thread.join(PATIENCE_S)

    def _take(self, news: _News, piece: Piece) -> None:
        with self._changed:
            if self._is_closed:
                return
            if piece.kind == "thought" and piece.text and len(news.thoughts) < MAX_CHARS:
                news.thoughts = (news.thoughts + piece.text)[:MAX_CHARS]
                news.is_changed = True
            elif piece.kind == "draft" and piece.image is not None and news.drafts_left:
                news.drafts_left -= 1
                news.drafts.append(piece.image)
            else:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="interim", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._wait_for_news():
                self._tell()
                with self._changed:  # the pause between two writes, which the end of the call cuts short
                    self._changed.wait_for(lambda: self._is_closed, self._every_s)
        except LeaseLost:
            log.info("interim_lease_lost", generation=self._lease.generation_id)
        except Exception:
            log.exception("interim_failed", generation=self._lease.generation_id)
        finally:
            with self._changed:
                self._is_closed = True
                self._news.clear()
            connection.close()

    def _wait_for_news(self) -> bool:
        """Whether there is something to show; False when the calls have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or any(news.is_there for news in self._news))
            return not self._is_closed

    def _tell(self) -> None:
        """One look at what is new, and one short transaction. Raises LeaseLost."""
        with self._changed:
            there = [(news.attempt, news.thoughts, list(news.drafts)) for news in self._news if news.is_there]
            for news in self._news:
                news.is_changed = False
                news.drafts.clear()
        looked_at = [(attempt, thoughts, self._look_at(attempt, drafts)) for attempt, thoughts, drafts in there]
        try:
            self._write(looked_at)
        except DatabaseError as error:  # busy: the thoughts come with the next write
            log.warning("interim_not_written", error=type(error).__name__)
        finally:
            connection.close()  # the call may go on for a minute

    def _look_at(self, attempt: Attempt, drafts: list[InlineImage]) -> list[Preview]:
        """Small copies of the drafts that are pictures: unverified bytes are served to nobody."""
        previews = []
        for index, draft in enumerate(drafts):
            if self._is_closed:
                break
            path = spool.draft_path(attempt, index)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                decode_base64_to_file(draft.data, path, max_bytes=OUTPUT_LIMITS.max_bytes)
                previews.append(gallery.make_preview(path))
            except (ImageRejected, OSError, DecodePoolError) as error:
                log.info("draft_not_shown", attempt=str(attempt.public_id), reason=str(error))
            finally:
                path.unlink(missing_ok=True)
        return previews

    def _write(self, looked_at: list[tuple[Attempt, str, list[Preview]]]) -> None:
        with transaction.atomic():
            # The row first, as everywhere; it also decides against the worker that has taken the job over.
            if not self._lease.rows().update(version=F("version") + 1):
                raise LeaseLost
            for attempt, thoughts, previews in looked_at:
                # One that is concluded has its thoughts from the whole answer, and shows its drafts no more.
                if not Attempt.objects.filter(pk=attempt.pk, outcome=Attempt.SENT).update(thoughts=thoughts):
                    continue
                DraftPreview.objects.bulk_create(_row(attempt, preview) for preview in previews)
            transaction.on_commit(lambda: events.publish(self._lease.generation_id))


def _row(attempt: Attempt, preview: Preview) -> DraftPreview:
    return DraftPreview(
        attempt=attempt,
        content=preview.content,
        width=preview.width,
        height=preview.height,
        dominant_colour=preview.dominant_colour,
    )


def find_preview(*, user: User, generation_id: UUID | str, public_id: UUID | str) -> DraftPreview:
    """A draft of the user's own job that is being painted. Raises NotFound, for other people's and past ones too."""
    found = DraftPreview.objects.filter(
        public_id=public_id, attempt__generation__public_id=generation_id, attempt__generation__user=user
    ).first()
    if found is None:
        raise NotFound("There is no such draft; drafts of a picture that is ready are in the generation's drafts.")
    return found
