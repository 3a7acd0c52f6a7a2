import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import process


class Command(BaseCommand):
    help = "A worker process without a web server: on a broker when CELERY_BROKER_URL is set, else on the database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lanes", type=int, default=None, help="generations in flight; default WORKER_CONCURRENCY")

    def handle(self, *args: Any, **options: Any) -> None:
        size = options["lanes"] or settings.WORKER_CONCURRENCY
        if settings.CELERY_BROKER_URL:
            self._run_celery(size)
        else:
            self._run_lanes(size)

    def _run_celery(self, size: int) -> None:
        from config.celery import app

        process.start_keeper()
        try:
            app.worker_main(
                [
                    "worker",
                    "--pool=threads",
                    f"--concurrency={size}",
                    "--queues=generations,renditions",
                    "--without-gossip",
                    "--without-mingle",
                    f"--loglevel={settings.LOG_LEVEL}",
                ]
            )
        finally:
            process.drain()

    def _run_lanes(self, size: int) -> None:
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        process.start_worker(lanes_size=size)
        self.stderr.write(f"Working with {size} lanes.")
        stopped.wait()
        process.drain()
