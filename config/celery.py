"""The Celery application; `config/apps.py` loads it so that shared tasks find their base class."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plantain", task_cls="config.lanes:LaneTask", set_as_current=True)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
