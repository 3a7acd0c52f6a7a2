"""The questions of supervisors: /healthz, is the process alive; /readyz, do its parts answer; /metrics, how it does."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from accounts.triggers import missing_triggers
from config.celery import app as celery
from config.metrics import metrics
from gallery import storage

log = structlog.get_logger(__name__)

OK = "ok"
NOT_CHECKED = "not checked: the database does not answer"
BROKER_TIMEOUT_S = 2


class ProbeMiddleware(MiddlewareMixin):
    """Answers the probes before hosts are checked: load balancers ask by address, which ALLOWED_HOSTS need not name."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        probe = PROBES.get(request.path)
        if probe is None:
            return None
        response = probe(request) if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD"])
        response["Cache-Control"] = "no-store"
        return response


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": OK})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part answers, else 503 with the failing part named; the reason is in the log."""
    results = {name: _run(name, check) for name, check in _checks().items()}
    if results["database"] != OK:
        results |= dict.fromkeys(("migrations", "ledger"), NOT_CHECKED)
    is_ready = all(result == OK for result in results.values())
    return JsonResponse({"status": OK if is_ready else "failing", "checks": results}, status=200 if is_ready else 503)


PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


def _checks() -> dict[str, Callable[[], str]]:
    checks = {
        "database": _check_database,
        "migrations": _check_migrations,
        "ledger": _check_ledger,
        "storage": _check_storage,
    }
    return checks | ({"broker": _check_broker} if settings.CELERY_BROKER_URL else {})


def _run(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # whatever it is, the part does not work; its text may hold addresses and passwords
        log.error("not_ready", part=name, error=error)
        return "does not answer"


def _check_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


def _check_migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    return f"{missing} not applied" if missing else OK


def _check_ledger() -> str:
    missing = missing_triggers(connection)
    return f"{len(missing)} triggers missing" if missing else OK


def _check_storage() -> str:
    storage.check()
    Path(settings.SPOOL_DIR).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.SPOOL_DIR) as file:
        file.write(b"ready")
    return OK


def _check_broker() -> str:
    with celery.connection_for_write(settings.CELERY_BROKER_URL, connect_timeout=BROKER_TIMEOUT_S) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    return OK
