"""Generations against an upstream that fails at random: run.py bench chaos [--count 1000] [--share 0.3] [--variants]

Prints how they ended, and that nothing was lost, charged twice or left held; exit 1 otherwise.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import django
import requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from tests.contract.live import Instance, instance  # noqa: E402

# Each of them is another end of WIRE 5; hanging ones are left to the tests, as they cost a timeout each.
FAULTS = (
    *("429", "500", "502", "503", "hangup_before", "hangup_mid", "not_json", "empty_body", "no_image", "image_safety"),
    *("text_only", "truncated_b64", "truncated_png", "not_an_image", "max_tokens", "recitation", "400", "json_list"),
)
PRICE = Decimal("0.058")
PATIENCE_S = 900


def submit(live: Instance, session: requests.Session, number: int, *, variants: bool) -> str:
    body = {"prompt": f"picture number {number}", "image_size": "0.5K", "count": number % 4 + 1 if variants else 1}
    while True:
        answer = session.post(f"{live.api}/generations", json=body, timeout=60)
        if answer.status_code == 202:
            return answer.json()["id"]
        # While every route is known to be down new wishes are refused for nothing, and told when to come again.
        assert answer.status_code == 503, answer.text
        time.sleep(min(float(answer.headers.get("Retry-After", 1)), 5))


def wait_for_all(live: Instance, session: requests.Session) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        open_ones = [
            session.get(f"{live.api}/generations?limit=1&status={status}", timeout=60).json()["results"]
            for status in ("queued", "running")
        ]
        if not any(open_ones):
            return
        time.sleep(1)
    raise AssertionError("some generations did not end")


def problems(live: Instance, session: requests.Session, ids: list[str], credit: str) -> tuple[list[str], Counter[str]]:
    """What is not as it must be, and how often each end came."""
    found, ends = [], Counter[str]()
    charged = Decimal(0)
    for public_id in ids:
        body = session.get(f"{live.api}/generations/{public_id}", timeout=60).json()
        ends[body["error"]["code"] if body["error"] else f"{body['status']} {len(body['images'])}"] += 1
        due = PRICE * len(body["images"])
        charged += due
        if Decimal(body["cost"]["charged"]) != due:
            found.append(f"{public_id}: charged {body['cost']['charged']} for {len(body['images'])} pictures")
        if (body["status"] == "succeeded") != bool(body["images"]):
            found.append(f"{public_id}: {body['status']} with {len(body['images'])} pictures")
    balance = session.get(f"{live.api}/account", timeout=60).json()["balance"]
    if Decimal(balance["held"]) or Decimal(balance["spent"]) != charged:
        found.append(f"the balance is {balance}, and pictures for {charged} were delivered")
    if Decimal(balance["available"]) + charged != Decimal(credit):
        found.append(f"of {credit} there are {balance['available']} left after {charged}")
    return found, ends


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.3, help="how many of the calls fail")
    parser.add_argument("--variants", action="store_true", help="wishes for one to four pictures in turn")
    options = parser.parse_args()
    environment = {
        "EMULATOR_FAULTS": ",".join(f"{name}:{options.share / len(FAULTS):.5f}" for name in FAULTS),
        "LOG_LEVEL": "ERROR",
    }
    credit = "1000.000000"
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **environment) as live:
        session = live.account(credit=credit)
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            ids = list(
                pool.map(lambda number: submit(live, session, number, variants=options.variants), range(options.count))
            )
        wait_for_all(live, session)
        found, ends = problems(live, session, ids, credit)
        print(f"{options.count} generations ended in {time.monotonic() - started:.0f} s: {dict(ends.most_common())}")
        print(live.manage("verifyledger"))
        print(live.manage("verifyblobs"))
    for problem in found:
        print(problem)
    print("nothing was lost, charged twice or left held" if not found else f"{len(found)} problems")
    return 1 if found or len(set(ids)) != options.count else 0


if __name__ == "__main__":
    sys.exit(main())
