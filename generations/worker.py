"""What a process that works on generations does beside them: renews its leases, and sweeps."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from generations import leases, sweeper

log = structlog.get_logger(__name__)

WAKE_S = 1.0
# On a broker a message may be waiting there; in lanes a second one for the same row is dropped.
RESEND_AFTER_S = 25.0
HOUSEKEEPING_S = 600.0


class Keeper:
    """Two daemon threads: the heartbeat has its own, so that a slow sweep cannot cost a lease."""

    def __init__(self, *, sweeps: bool = True) -> None:
        self._stopped = threading.Event()
        self._sweeps = sweeps

    def start(self) -> None:
        self._every(settings.HEARTBEAT_S, leases.heartbeat, name="heartbeat")
        if not self._sweeps:
            return
        resend_after_s = RESEND_AFTER_S if settings.CELERY_BROKER_URL else WAKE_S
        self._every(settings.SWEEP_S, lambda: sweeper.sweep_jobs(resend_after_s=resend_after_s), name="sweeper")
        self._every(HOUSEKEEPING_S, sweeper.sweep, name="housekeeper")
        if not settings.CELERY_BROKER_URL:
            self._every(WAKE_S, lambda: sweeper.wake(timezone.now(), resend_after_s=resend_after_s), name="waker")

    def stop(self) -> None:
        self._stopped.set()

    def _every(self, seconds: float, work: object, *, name: str) -> None:
        def loop() -> None:
            while True:
                try:
                    work()  # type: ignore[operator]
                except Exception:
                    log.exception("keeper_failed", part=name)
                finally:
                    connection.close()
                if self._stopped.wait(seconds):
                    return

        threading.Thread(target=loop, name=f"keeper-{name}", daemon=True).start()


@contextmanager
def keeping_leases() -> Iterator[None]:
    """For a command that works on a generation in its own thread: keep the lease, leave the sweeping to others."""
    keeper = Keeper(sweeps=False)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()
