"""Scripted guests against the budget of the trial: run.py bench trial [--guests 1000] on the engine of DATABASE_URL.

Starts an instance of its own. Each guest is a browser without an account that asks on the front page for more pictures
than the trial has; all come from networks that may begin as often as they like, so that the budget alone refuses.
Prints the answers, what was granted, charged and paid upstream. Exit 1 when any of it is more than the budget, when the
audit finds something, or when an answer is none of the contract's.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import requests  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.money import parse_usd  # noqa: E402
from tests.contract.live import Instance, instance  # noqa: E402

AT_ONCE = 16
WISHES = 4
PAUSE_S = 0.2
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
# Asked for; the trial is used up; full, or the one before is still being made.
EXPECTED = {302, 402, 429}
SUMS = """
import json
from django.db.models import Sum
from accounts.models import LedgerAccount, Transfer, User
from generations.models import Attempt, Generation
total = lambda rows, name: rows.aggregate(sum=Sum(name))["sum"] or 0
print(json.dumps({
    "guests": User.objects.filter(is_guest=True).count(),
    "unfinished": Generation.objects.unfinished().count(),
    "granted": total(Transfer.objects.filter(code="trial"), "amount_micros"),
    "charged": total(Transfer.objects.filter(code="capture"), "amount_micros"),
    "paid upstream": total(Attempt.objects.all(), "cost_micros"),
}))
"""


def come(live: Instance, number: int) -> list[int]:
    """One guest; the statuses of its wishes."""
    statuses = []
    with requests.Session() as browser:
        for wish in range(WISHES):
            page = browser.get(f"{live.url}/", timeout=120).text
            found = TOKEN.search(page)
            assert found, page[:500]
            body = {"csrfmiddlewaretoken": found[1], "prompt": f"Fox {number}, wish {wish}", "aspect_ratio": "1:1"}
            answer = browser.post(
                f"{live.url}/trial/", data=body, headers={"Referer": f"{live.url}/"}, allow_redirects=False, timeout=120
            )
            statuses.append(answer.status_code)
            if answer.status_code == 302:
                time.sleep(PAUSE_S)  # its picture is made, or the next wish is one too many at once
    return statuses


def sums(live: Instance) -> dict[str, int]:
    """What the database says when nothing is under way any more; amounts in micro-USD."""
    while True:
        found = json.loads(live.manage("shell", "--no-imports", "-c", SUMS).splitlines()[-1])
        if not found.pop("unfinished"):
            return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=1000)
    options = parser.parse_args()
    budget = parse_usd(settings.TRIAL_DAILY_BUDGET_USD)
    environment = {"TRIAL_GUESTS_PER_NETWORK": str(options.guests), "LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **environment) as live:
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda number: come(live, number), range(options.guests)))
        taken_s = time.monotonic() - began
        statuses = Counter(status for each in answers for status in each)
        found = sums(live)
        live.manage("verifyledger")  # fails on any violation
    print(f"{connection.vendor}: {options.guests} guests, {sum(statuses.values())} wishes in {taken_s:.0f} s")
    print(f"  answers: {', '.join(f'{many} x {status}' for status, many in sorted(statuses.items()))}")
    print(f"  {found.pop('guests')} of them were let in")
    for name, micros in found.items():
        print(f"  {name}: {micros / 1e6:.6f} of {budget / 1e6:.6f} USD")
    is_kept = all(0 < micros <= budget for micros in found.values())
    return 0 if is_kept and statuses.keys() <= EXPECTED else 1


if __name__ == "__main__":
    sys.exit(main())
