"""Pictures moved from files to S3 while they are made and looked at: run.py bench media_move [--pictures 60]

Starts an instance and an S3 server of its own, makes pictures, moves them with `migratemedia` (killed once in the
middle with SIGKILL), takes the files away and compares every digest; exit 1 when anything was missing.
"""

import argparse
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django
import requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402

from tests.contract.live import Instance, instance  # noqa: E402
from tests.s3 import S3Server  # noqa: E402

WAIT = {"Prefer": "wait=60"}


def make(live: Instance, session: requests.Session, number: int) -> dict:
    """One picture; its entry in the API."""
    wish = {"prompt": f"picture {number}", "image_size": "0.5K"}
    answer = session.post(f"{live.api}/generations", json=wish, headers=WAIT, timeout=90)
    assert answer.status_code == 200, answer.text
    return answer.json()["images"][0]


def problem_with(session: requests.Session, image: dict) -> str:
    """Empty when the bytes are there and right."""
    answer = session.get(image["url"], timeout=60)
    if answer.status_code != 200:
        return f"{image['id']}: {answer.status_code}"
    return "" if hashlib.sha256(answer.content).hexdigest() == image["sha256"] else f"{image['id']}: other bytes"


def restart(live: Instance, stores: str) -> None:
    live.stop()
    live.env["MEDIA_STORES"] = stores
    live.start_emulator()
    live.start_web()


def migrate(live: Instance, *, kill_after_s: float | None = None) -> str:
    """What the command prints; empty when it was killed."""
    command = [sys.executable, "manage.py", "migratemedia", "--to", "s3", "--apply"]
    process = subprocess.Popen(command, env=live.env, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return ""
    assert process.returncode == 0, output
    return output.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--viewers", type=int, default=4)
    options = parser.parse_args()
    server = S3Server()
    bucket = server.make_bucket("plantain-move")
    environment = {**server.environment(bucket), "MEDIA_STORES": "files,s3"}
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **environment) as live:
        session = live.account(credit="1000")
        with ThreadPoolExecutor(8) as pool:
            images = list(pool.map(lambda number: make(live, session, number), range(options.pictures)))
        print(f"{len(images)} pictures in files")

        restart(live, "s3,files")
        is_over, views, problems = threading.Event(), itertools.count(), []

        def look() -> None:
            own = requests.Session()
            own.headers.update(session.headers)
            while not is_over.is_set():
                problems.extend(filter(None, [problem_with(own, random.choice(images))]))
                next(views)

        def go_on_making() -> None:
            for number in itertools.count(options.pictures):
                if is_over.is_set():
                    return
                images.append(make(live, session, number))

        with ThreadPoolExecutor(options.viewers + 1) as pool:
            work = [pool.submit(look) for _ in range(options.viewers)] + [pool.submit(go_on_making)]
            try:
                started = time.monotonic()
                kill_after_s = 1.0
                while True:
                    # Killed as soon as it has begun to copy, however long its start takes here.
                    before = object_count(server, bucket)
                    printed = migrate(live, kill_after_s=kill_after_s)
                    if printed or object_count(server, bucket) > before + options.pictures // 10:
                        break
                    kill_after_s += 0.5
                print(printed or f"killed with {object_count(server, bucket)} objects in the bucket")
                while " 0 copied" not in f" {printed}":
                    printed = migrate(live)
                    print(f"{time.monotonic() - started:.1f} s: {printed}")
            finally:
                is_over.set()
            for each in work:
                each.result()
        viewed, made = next(views), len(images) - options.pictures
        print(f"meanwhile {viewed} views and {made} new pictures; {len(problems)} problems {problems[:5]}")

        restart(live, "s3")
        (Path(directory) / "media").rename(Path(directory) / "media-moved")
        with ThreadPoolExecutor(8) as pool:
            missing = list(filter(None, pool.map(lambda image: problem_with(session, image), images)))
        print(f"{len(images)} digests compared in the bucket alone; {len(missing)} missing or different {missing[:5]}")
        print(live.manage("verifyblobs"))
        print(live.manage("verifyledger"))
    server.stop()
    sys.exit(1 if problems or missing else 0)


def object_count(server: S3Server, bucket: str) -> int:
    pages = server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sum(page.get("KeyCount", 0) for page in pages)


if __name__ == "__main__":
    main()
