"""kill -9 of everything while pictures are made: run.py bench crash [--pictures 40] [--kills 3]

Starts an instance of its own, submits, kills web and emulator with SIGKILL in the middle and starts them again, each
time with a new batch. In the end every job must have ended, charged if and only if its picture is stored.
"""

import argparse
import os
import random
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from tests.contract.live import instance  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), EMULATOR_LATENCY_S="1-4") as live:
        session = live.account(credit="1000")
        submitted = 0
        for kill in range(options.kills):

            def submit(number: int, kill: int = kill) -> bool:
                wish = {"prompt": f"picture {kill}-{number}", "image_size": "0.5K"}
                return session.post(f"{live.api}/generations", json=wish, timeout=60).status_code == 202

            with ThreadPoolExecutor(8) as pool:
                submitted += sum(pool.map(submit, range(options.pictures)))
            time.sleep(random.uniform(0.5, 2.5))
            live.stop(signal.SIGKILL)
            live.start_emulator()
            live.start_web()
        started = time.monotonic()
        while (
            session.get(f"{live.api}/generations?status=running&limit=1", timeout=30).json()["results"]
            or session.get(f"{live.api}/generations?status=queued&limit=1", timeout=30).json()["results"]
        ):
            assert time.monotonic() - started < 300, "a job never ended"
            time.sleep(1)
        print(f"{submitted} submitted, {options.kills} kills; ended {time.monotonic() - started:.0f} s after the last")
        ended: dict[str, int] = {}
        charged = pictures = 0.0
        address = f"{live.api}/generations?limit=100"
        while address:
            page = session.get(address, timeout=30).json()
            for generation in page["results"]:
                ended[generation["status"]] = ended.get(generation["status"], 0) + 1
                assert (float(generation["cost"]["charged"]) > 0) == bool(generation["images"]), generation["id"]
                for image in generation["images"]:
                    assert session.get(image["url"], timeout=30).status_code == 200, image["id"]
                charged += float(generation["cost"]["charged"])
                pictures += len(generation["images"])
            address = page["next"]
        balance = session.get(f"{live.api}/account", timeout=30).json()["balance"]
        print(f"{ended}; pictures {pictures:.0f}, charged {charged:.6f}, balance {balance}")
        print(live.manage("verifyledger"))
        print(live.manage("verifyblobs"))


if __name__ == "__main__":
    main()
