"""Many programs against one limit at the same moment, over HTTP: who is let in, and how the others are refused."""

import itertools
import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

import http_sfv
import requests

from tests.contract.live import Instance
from tests.gallery.pictures import encode_picture

PRICE = 58_000  # micro-USD, of one picture of 0.5K
PATIENCE_S = 300
UPLOAD = encode_picture(size=(64, 48))
LIMITS = ("images_per_day", "images_per_month", "concurrent", "requests_per_minute", "storage_bytes")
REFUSALS = {
    "images_per_day": (429, "quota_exceeded"),
    "images_per_month": (429, "quota_exceeded"),
    "concurrent": (429, "concurrency_limit"),
    "requests_per_minute": (429, "rate_limited"),
    "storage_bytes": (429, "quota_exceeded"),
    "balance": (402, "insufficient_credit"),
    "budget": (402, "key_budget_exceeded"),
}
FACTS = {
    "balance": {"available", "held", "required"},
    "budget": {"limit", "spent", "held", "required", "resets_at"},
}
# An instance in which nothing ends by itself, however slow the machine is.
STILL = {
    "EMULATOR_LATENCY_S": "3000",
    "UPSTREAM_TIMEOUT_S": "3000",
    "UPSTREAM_DEADLINE_S": "6000",
    "QUEUE_TIMEOUT_S": "6000",
    "LOG_LEVEL": "WARNING",
}
SECONDS = {"images_per_day": 86_400, "images_per_month": 31 * 86_400, "requests_per_minute": 60}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One limit that many programs meet at once. It has room for `room` pictures, jobs, requests, or uploads.

    `source` is whose limit it is, or how long a budget lasts; `wishes` is for how many pictures they ask in turn.
    """

    name: str
    measure: str
    source: str = "own"
    room: int
    people: int = 1
    keys: int = 1
    wishes: tuple[int, ...] = (1,)
    price: int = PRICE

    @property
    def policy(self) -> str:
        prefix = self.source if self.source in ("key", "site") else ""
        return f"{prefix}_{self.measure}".lstrip("_")


@dataclass
class Person:
    """Somebody of a case, with the texts of their keys."""

    email: str
    keys: list[str]

    def get(self, live: Instance, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[0]}"}
        answer = requests.get(f"{live.api}/{path}", headers=headers, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Rush:
    """What came of it: pictures (or requests, or uploads) that were let in, answers that refused, what is wrong."""

    case: Case
    people: list[Person]
    admitted: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return self.admitted == self.case.room and not self.problems


def prepare(live: Instance, cases: Iterable[Case]) -> list[list[Person]]:
    """The people of each case, by one process."""
    made = inside(live, f"prepare({[asdict(case) for case in cases]!r})")
    return [[Person(**person) for person in people] for people in made]


def inside(live: Instance, call: str) -> Any:
    """What a function of tests/contract/crowd.py prints, run in a process of the instance."""
    return json.loads(live.manage("shell", "--no-imports", "-c", f"from tests.contract import crowd\ncrowd.{call}"))


def rush(live: Instance, case: Case, people: list[Person], *, clients: int, words: str = "") -> Rush:
    """All at once; each client is a program of its own with a connection of its own."""
    if case.measure == "storage_bytes":
        _fit_storage(live, case, people[0])
    before = [books(live, person) for person in people]
    start = threading.Barrier(clients)
    callers = list(itertools.islice(itertools.cycle([key for person in people for key in person.keys]), clients))

    def call(number: int) -> tuple[int, requests.Response]:
        wanted = case.wishes[number % len(case.wishes)]
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {callers[number]}"
            start.wait()
            return wanted, ask(live, session, case.measure, wanted, words)

    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(call, range(clients)))
    result = _judge(case, people, answers)
    for person, book in zip(people, before, strict=True):
        mine = [wanted for wanted, answer in answers if answer.ok and _key_of(answer) in person.keys]
        result.problems += _wrong_books(case, mine, before=book, after=books(live, person))
    return result


def books(live: Instance, person: Person) -> dict[str, int]:
    """What the pages of somebody's account say; no more than a hundred of each are counted."""
    account = person.get(live, "account")
    return {
        "jobs": len(person.get(live, "generations?limit=100")["results"]),
        "holds": len(person.get(live, "ledger?kind=hold&limit=100")["results"]),
        "uploads": len(person.get(live, "images?kind=upload&limit=100")["results"]),
        "held": micros(account["balance"]["held"]),
        "spent": micros(account["balance"]["spent"]),
        "pictures of today": used(account, "images_per_day"),
        "jobs at once": used(account, "concurrent"),
    }


def ask(live: Instance, session: requests.Session, measure: str, pictures: int = 1, words: str = "") -> Any:
    """One request that is counted by this limit."""
    if measure == "storage_bytes":
        return session.post(f"{live.api}/images", files={"file": ("a.png", UPLOAD)}, timeout=PATIENCE_S)
    body = {"prompt": f"{words} {uuid.uuid4()}".strip(), "image_size": "0.5K", "count": pictures}
    return session.post(f"{live.api}/generations", json=body, timeout=PATIENCE_S)


def hammer(live: Instance, askers: Iterable[tuple[Person, str]], *, answers: int) -> set[str]:
    """Ask again and again, each for a measure of their own, and kill -9 everything after so many answers.

    Returns the ids of the jobs that were promised.
    """
    askers = list(askers)
    promised: set[str] = set()
    answered, is_due = itertools.count(1), threading.Event()

    def go_on(person: Person, measure: str) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {person.keys[0]}"
            while True:
                try:
                    answer = ask(live, session, measure)
                    body = answer.json() if answer.status_code == 202 else {}
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, ValueError):
                    return
                if body:
                    promised.add(body["id"])
                if next(answered) >= answers:
                    is_due.set()

    with ThreadPoolExecutor(len(askers)) as pool:
        running = [pool.submit(go_on, *asker) for asker in askers]
        assert is_due.wait(PATIENCE_S)
        live.stop(signal.SIGKILL)
        for each in running:
            each.result(timeout=PATIENCE_S)
    return promised


# --- Judging --------------------------------------------------------------------------------------


def _judge(case: Case, people: list[Person], answers: list[tuple[int, requests.Response]]) -> Rush:
    result = Rush(case, people)
    let_in = [(wanted, answer) for wanted, answer in answers if answer.ok]
    turned_away = [(wanted, answer) for wanted, answer in answers if not answer.ok]
    result.admitted = sum(wanted for wanted, _ in let_in)
    result.refused = len(turned_away)
    if result.admitted != case.room:
        result.problems.append(f"{result.admitted} were let in, and there is room for {case.room}")
    for wanted, answer in turned_away:
        result.problems += _wrong_refusal(case, answer, wanted)
    result.problems += _wrong_headers(case, let_in)
    result.problems = [f"{problem} ({many} times)" for problem, many in Counter(result.problems).items()]
    return result


def _key_of(answer: requests.Response) -> str:
    return str(answer.request.headers["Authorization"]).removeprefix("Bearer ")


def _wrong_refusal(case: Case, answer: requests.Response, wanted: int) -> list[str]:
    """What a refusal lacks, or says that is not so."""
    status, code = REFUSALS[case.measure]
    if answer.status_code != status or answer.headers["Content-Type"] != "application/problem+json":
        return [f"{answer.status_code} {answer.headers.get('Content-Type')}: {answer.text[:200]}"]
    body, wrong = answer.json(), []

    def expect(what: str, found: object, due: object) -> None:
        if found != due:
            wrong.append(f"{what} is {found!r}, not {due!r}")

    expect("code", body["code"], code)
    retry_after = answer.headers.get("Retry-After")
    if status == 402:
        expect("Retry-After", retry_after, None)
        expect("facts", FACTS[case.measure] - set(body), set())
        return wrong
    expect("policy", body.get("policy"), case.policy)
    expect("source", body.get("source"), case.source)
    expect("room that is left is too little", body["limit"] - body["used"] < wanted * _unit(case, body), True)
    span = SECONDS.get(case.measure)
    if span is None:
        expect("Retry-After", retry_after, "5" if case.measure == "concurrent" else None)
        expect("reset", body["reset"], None)
    else:
        expect("Retry-After is a time within the window", 0 < int(retry_after or 0) <= span, True)
        expect("reset", body["reset"], int(retry_after or 0))
    expect("RateLimit", list(told(answer, "RateLimit")), [case.policy])
    expect("RateLimit-Policy", list(told(answer, "RateLimit-Policy")), [case.policy])
    return wrong


def _unit(case: Case, body: dict[str, Any]) -> int:
    """Bytes that one upload takes, see _fit_storage; the others are counted one by one."""
    return (body["limit"] + 1) // (case.room + 2) if case.measure == "storage_bytes" else 1


def _wrong_headers(case: Case, answers: list[tuple[int, requests.Response]]) -> list[str]:
    """Each that is let in is told a place of its own: what is left afterwards is 0, 1, 2 and so on, each once."""
    if case.measure not in LIMITS or case.measure == "storage_bytes" or case.wishes != (1,):
        return []
    policies = [told(answer, "RateLimit-Policy") for _, answer in answers]
    if not all(case.policy in policy for policy in policies):
        return ["an answer does not tell the limit in RateLimit-Policy"]
    left = sorted(told(answer, "RateLimit").get(case.policy, {}).get("r", -1) for _, answer in answers)
    return [] if left == list(range(case.room)) else [f"what is told to be left is {left}"]


def _wrong_books(case: Case, mine: list[int], *, before: dict[str, int], after: dict[str, int]) -> list[str]:
    """An account must say what its owner was answered; `mine` is of each that was let in for how many pictures."""
    makes_jobs = case.measure != "storage_bytes"
    jobs, pictures = (len(mine), sum(mine)) if makes_jobs else (0, 0)
    due = {
        "jobs": jobs,
        "holds": jobs,
        "uploads": 0 if makes_jobs else len(mine),
        "held": pictures * case.price,
        "spent": 0,
        "pictures of today": pictures,
        "jobs at once": jobs,
    }
    found = {name: after[name] - before[name] for name in due}
    return [f"{name}: {found[name]} more, not {due[name]}" for name in due if found[name] != due[name]]


def used(account: dict[str, Any], name: str) -> int:
    return next(limit["used"] for limit in account["limits"] if limit["name"] == name)


def _fit_storage(live: Instance, case: Case, person: Person) -> None:
    """One upload says how many bytes each takes; then the limit leaves room for `room` more, and almost one."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {person.keys[0]}"
        size = ask(live, session, "storage_bytes").json()["byte_size"]
    live.manage("setquota", "--email", person.email, "--storage-bytes", str(size * (case.room + 2) - 1))


def told(answer: requests.Response, header: str) -> dict[str, dict[str, Any]]:
    """A RateLimit header as its items with their parameters."""
    items = http_sfv.List()
    items.parse(answer.headers.get(header, "").encode())
    return {item.value: dict(item.params) for item in items}


def micros(usd: str) -> int:
    return int(Decimal(usd) * 1_000_000)
