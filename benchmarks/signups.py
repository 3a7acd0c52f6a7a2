"""A farm of sign-ups against the budget of the day: run.py bench signups [--people 1000] on the engine of DATABASE_URL.

Starts an instance of its own. Each sign-up is a browser from another network that confirms its address by the code in
its mail; every other address is the same mailbox by another name. Prints the answers, what was given, and who waits.
Exit 1 when more was given than the budget, when the audit finds something, or when somebody got no account.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading
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
from tests.contract.live import PASSWORD, Instance, instance  # noqa: E402

AT_ONCE = 16
MAIL_S = 60
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
CODE = re.compile(r"^ {4}([A-Z]{4}-[A-Z]{4})$", re.MULTILINE)
TO = re.compile(r"^To: (\S+)$", re.MULTILINE)
SUMS = """
import json
from django.db.models import Sum
from accounts.models import SignupCredit, Transfer, User
given = Transfer.objects.filter(code="grant")
print(json.dumps({
    "accounts": User.objects.exclude(emailaddress__verified=False).count(),
    "credits": given.count(),
    "given": given.aggregate(sum=Sum("amount_micros"))["sum"] or 0,
    "waiting": SignupCredit.objects.waiting().count(),
}))
"""


class Mailboxes:
    """The codes in the files that the instance writes instead of sending mail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.codes: dict[str, str] = {}
        self.sizes: dict[Path, int] = {}
        self.lock = threading.Lock()

    def code_for(self, email: str) -> str:
        deadline = time.monotonic() + MAIL_S
        while time.monotonic() < deadline:
            with self.lock:
                self._read_new()
                if email in self.codes:
                    return self.codes[email]
            time.sleep(0.05)
        raise AssertionError(f"no mail for {email}")

    def _read_new(self) -> None:
        # Two mails of one second may share a file, and one may still be written.
        for path in self.directory.iterdir():
            size = path.stat().st_size
            if self.sizes.get(path) != size:
                text = path.read_text()
                self.codes.update(zip(TO.findall(text), CODE.findall(text), strict=False))
                self.sizes[path] = size


def come(live: Instance, mailboxes: Mailboxes, number: int) -> tuple[int, int]:
    """One sign-up; the statuses of both its forms."""
    email = f"far.mer+{number}@gmail.com" if number % 2 else f"farmer{number}@example.com"
    address = f"10.{number // 250}.{number % 250}.7"
    with requests.Session() as browser:
        browser.headers.update({"X-Forwarded-For": address, "Referer": f"{live.url}/"})

        def send(path: str, **data: str) -> int:
            page = browser.get(live.url + path, timeout=120).text
            found = TOKEN.search(page)
            assert found, page[:500]
            body = {"csrfmiddlewaretoken": found[1], **data}
            return browser.post(live.url + path, data=body, allow_redirects=False, timeout=120).status_code

        signed_up = send("/accounts/signup/", email=email, password1=PASSWORD)
        return signed_up, send("/accounts/confirm-email/", code=mailboxes.code_for(email))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    options = parser.parse_args()
    budget = parse_usd(settings.SIGNUP_DAILY_BUDGET_USD)
    with tempfile.TemporaryDirectory() as directory:
        mail = Path(directory) / "mail"
        mail.mkdir()
        environment = {"EMAIL_URL": f"filemail:///{mail}", "LOG_LEVEL": "WARNING"}
        with instance(Path(directory), **environment) as live:
            mailboxes = Mailboxes(mail)
            began = time.monotonic()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(lambda number: come(live, mailboxes, number), range(options.people)))
            taken_s = time.monotonic() - began
            found = json.loads(live.manage("shell", "--no-imports", "-c", SUMS).splitlines()[-1])
            live.manage("verifyledger")  # fails on any violation
    statuses = Counter(status for each in answers for status in each)
    print(f"{connection.vendor}: {options.people} sign-ups in {taken_s:.0f} s")
    print(f"  answers: {', '.join(f'{many} x {status}' for status, many in sorted(statuses.items()))}")
    print(f"  {found['accounts']} accounts, {found['credits']} credits, {found['waiting']} wait")
    print(f"  given: {found['given'] / 1e6:.6f} of {budget / 1e6:.6f} USD")
    is_kept = 0 < found["given"] <= budget and found["accounts"] == options.people
    return 0 if is_kept and statuses.keys() == {302} else 1


if __name__ == "__main__":
    sys.exit(main())
