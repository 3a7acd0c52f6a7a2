"""What runs in a process beside its requests: worker lanes and the keeper of leases, and how they end."""

import structlog
from django.conf import settings

from config.lanes import lanes
from gallery import decode_pool
from generations import leases
from generations.events import hub
from generations.worker import Keeper

log = structlog.get_logger(__name__)

RENDITION_LANES = 1

_keeper: Keeper | None = None


def start_web() -> None:
    """With a broker the workers are elsewhere, and the web process only watches."""
    if not settings.CELERY_BROKER_URL:
        start_worker(lanes_size=settings.WORKER_CONCURRENCY)


def start_worker(*, lanes_size: int) -> None:
    global _keeper
    lanes.start({"generations": lanes_size, "renditions": RENDITION_LANES})
    _keeper = Keeper()
    _keeper.start()


def start_keeper() -> None:
    """For a Celery worker, whose lanes are Celery's."""
    global _keeper
    _keeper = Keeper()
    _keeper.start()


def drain() -> None:
    """Claim nothing more, give running calls DRAIN_S seconds to end, then hand over what is left."""
    hub.close()
    if lanes.is_running and not lanes.drain(settings.DRAIN_S):
        log.warning("drain_incomplete", handed_over=leases.release_all())
    if _keeper is not None:
        _keeper.stop()
    decode_pool.close_all()
