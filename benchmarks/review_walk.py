"""Random actions of owners, viewers and reviewers: run.py bench review_walk [--actions 10000] [--seed N].

After each of them the picture, its review and its public address are checked, and at the end every history; the first
thing that must not be is exit 1, with the action's number. On the engine of DATABASE_URL, in a test database of its
own, which is removed afterwards.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402
from django.test import override_settings  # noqa: E402

from benchmarks.ledger import scratch_database  # noqa: E402
from gallery.models import Image  # noqa: E402
from gallery.review.steps import EDGES  # noqa: E402
from tests.gallery.review.walk import Walk  # noqa: E402
from tests.people import make_person  # noqa: E402


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261127)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)):
        directory = Path(name)
        with override_settings(DATA_DIR=directory, MEDIA_ROOT=directory / "media", SPOOL_DIR=directory / "spool"):
            return walk(options.actions, options.seed)


def walk(actions: int, seed: int) -> bool:
    """True when nothing went wrong and every state was reached."""
    began, at = time.perf_counter(), 0

    def note(action: int) -> None:
        nonlocal at
        at = action

    walked = Walk(owner=make_person("owner"), seed=seed)
    try:
        walked.go(actions, progress=note)
    except AssertionError as error:
        print(f"action {at} of seed {seed}: {error}")
        raise
    missing = {*EDGES} - walked.reached
    print(
        f"{connection.vendor}: {walked.taken} actions done and {walked.refused} refused on {Image.objects.count()}"
        f" pictures in {time.perf_counter() - began:.0f} s; states not reached: {', '.join(sorted(missing)) or 'none'}"
    )
    return not missing


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
