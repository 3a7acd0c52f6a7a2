"""A process of threads that reserve: `python -m tests.accounts.spender USER PRICE THREADS ROUNDS`.

Waits for a line on its input, so that several start together, and prints how often each outcome came and how many
milliseconds each call took.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import PIPE

import django

if __name__ == "__main__":
    django.setup()

from django.conf import settings
from django.db import connection, connections

from accounts.models import Price, User
from tests.accounts.money import reserve


@dataclass(frozen=True)
class Spree:
    """What several spenders did together."""

    outcomes: Counter[str]
    milliseconds: list[float]
    elapsed_s: float


def spend_together(
    user: User, price: Price, *, processes: int, threads: int, rounds: int, env: dict[str, str]
) -> Spree:
    """Start the processes, let them all go at once, and add up what they tell."""
    command = [sys.executable, "-m", "tests.accounts.spender", *map(str, (user.pk, price.pk, threads, rounds))]
    with ExitStack() as running:
        spenders = [
            running.enter_context(
                subprocess.Popen(command, env=env, cwd=settings.BASE_DIR, stdin=PIPE, stdout=PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for spender in spenders:
            assert spender.stdout.readline() == "ready\n"
        started = time.perf_counter()
        for spender in spenders:
            spender.stdin.write("go\n")
            spender.stdin.flush()
        answers = [json.loads(spender.stdout.readline()) for spender in spenders]
        elapsed_s = time.perf_counter() - started
    return Spree(
        outcomes=sum((Counter(answer["outcomes"]) for answer in answers), Counter()),
        milliseconds=[elapsed for answer in answers for elapsed in answer["milliseconds"]],
        elapsed_s=elapsed_s,
    )


def spend(user: User, price: Price, rounds: int) -> list[tuple[str, float]]:
    calls = []
    for _ in range(rounds):
        started = time.perf_counter()
        try:
            outcome = type(reserve(user, price)).__name__
        except Exception as error:
            outcome = type(error).__name__
        calls.append((outcome, (time.perf_counter() - started) * 1000))
    connections.close_all()
    return calls


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(user_id: str, price_id: str, threads: str, rounds: str) -> None:
    user, price = User.objects.get(pk=user_id), Price.objects.get(pk=price_id)
    connection.close()
    tell("ready")
    sys.stdin.readline()
    with ThreadPoolExecutor(int(threads)) as pool:
        calls = [
            call for some in pool.map(lambda _: spend(user, price, int(rounds)), range(int(threads))) for call in some
        ]
    outcomes = Counter(outcome for outcome, _ in calls)
    tell(json.dumps({"outcomes": outcomes, "milliseconds": [elapsed for _, elapsed in calls]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
