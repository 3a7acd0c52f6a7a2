"""For servers that speak WSGI only: requests without the worker lanes, which `manage runworker` then runs."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
