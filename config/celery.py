"""The Celery application; `config/apps.py` loads it so that shared tasks find their base class."""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plantain", task_cls="config.lanes:LaneTask", set_as_current=True)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """That somebody listens is what keeps Celery's hands off the root logger, and so off its redaction."""
