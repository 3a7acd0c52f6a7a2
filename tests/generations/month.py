"""A month of many people's use in one process, with an upstream that fails in every way; its clock is moved by hand.

Real submits, pipeline and settlement; only the upstream and the time are not, and there are no renditions. Afterwards
every account of the money must say the same: `Month.totals`.
"""

import csv
import io
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from django.db.models import Sum
from django.test import override_settings

from accounts import exports, keys, ledger
from accounts.errors import Conflict, ServiceError
from accounts.models import ApiKey, Plan, Price, Transfer, User
from accounts.periods import Period
from accounts.usage import usage_of
from gallery.models import Image
from generations import money_report, receipts, reconciliation, services, sweeper
from generations.models import Generation, Status
from generations.providers.base import ProviderError
from generations.spec import GenerationSpec
from generations.tasks import work_on
from tests.generations.fakes import ScriptedProvider, error, picture, png, reply
from tests.people import make_person

BEGINS = datetime(2027, 3, 17, 6, tzinfo=UTC)  # so that the new month's credit comes in the middle
LASTS = timedelta(days=30)
CREDIT = 3_000_000
MODELS = ("gemini-3.1-flash-image-preview", "gemini-3-pro-image-preview")
FAULTS: tuple[Callable[[], object], ...] = (
    lambda: reply({"text": "I would rather not."}),
    lambda: reply({"text": "no"}, finish="SAFETY"),
    lambda: reply(finish="MAX_TOKENS"),
    lambda: reply(picture("AAAA")),
    lambda: b"{",
    lambda: error(400, "INVALID_ARGUMENT"),
    lambda: error(403, "PERMISSION_DENIED"),
    lambda: error(429, "RESOURCE_EXHAUSTED"),
    lambda: error(500, "INTERNAL"),
    lambda: error(503, "UNAVAILABLE"),
    lambda: ProviderError("unknown", "the connection broke off"),
    lambda: ProviderError("timeout", "no place in time"),
    lambda: ProviderError("unavailable", "refused"),
)


class Clock:
    """The one time of the month, also for what Django's fields have as their default."""

    def __init__(self) -> None:
        self.now = BEGINS

    @contextmanager
    def in_force(self) -> Iterator[None]:
        clock = self

        class Simulated(datetime):
            @classmethod
            def now(cls, tz=None):
                return clock.now if tz else clock.now.replace(tzinfo=None)

        with patch("django.utils.timezone.datetime", Simulated):
            yield


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What was spent, captures less refunds, as each account of it says, in micro-USD."""

    wallets: int
    statements: int
    usage: int
    receipts: int
    revenue_account: int
    money_page: int

    @property
    def is_even(self) -> bool:
        return len(set(astuple(self))) == 1


@dataclass(kw_only=True)
class Month:
    people: int
    pictures: int
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)  # what happened
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.wishes = 0
        self.upstream = ScriptedProvider()
        self.images = [picture(png(colour)) for colour in ("teal", "navy", "olive", "plum")]

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The upstream, the clock and what is left out; the figures are read inside as well."""
        with ExitStack() as stack:
            stack.enter_context(self.clock.in_force())
            stack.enter_context(override_settings(UPSTREAM_BREAKER_FAILURES=10**9))
            stack.enter_context(patch("generations.pipeline.providers_for", lambda spec: (self.upstream,)))
            stack.enter_context(
                patch("celery.app.task.Task.apply_async")
            )  # the month works by itself, and paints no thumbnails
            yield

    # --- The month ---

    def live(self) -> None:
        """Until as many pictures were asked for as the month has; prices change when a half of them was."""
        self._begin()
        asked, is_dearer = 0, False
        while asked < self.pictures:
            self.clock.now = BEGINS + LASTS * asked / self.pictures
            if asked >= self.pictures / 2 and not is_dearer:
                self._raise_prices()
                is_dearer = True
            asked += self._ask()
        self.clock.now = BEGINS + LASTS
        sweeper.sweep()  # what nobody has worked on
        for each in Generation.objects.unfinished():
            self._work(each)

    def _begin(self) -> None:
        credited = Plan.objects.create(name="credited", rank=50, monthly_credit_micros=CREDIT)
        self.users: list[User] = []
        self.keys: dict[int, ApiKey] = {}
        for number in range(self.people):
            user = make_person(
                f"person-{uuid.uuid4().hex}", credit_micros=self.random.choice((0, 1_000_000, 5_000_000))
            )
            User.objects.filter(pk=user.pk).update(plan=credited if number % 2 else Plan.objects.get(name="unlimited"))
            user.refresh_from_db()
            self.users.append(user)
            limit = {"limits": {"images_per_day": 30}} if number % 3 == 0 else {}
            key = keys.create_key(user=user, budget_micros=4_000_000, budget_period="month", **limit)
            self.keys[user.pk] = key.api_key

    def _raise_prices(self) -> None:
        for price in Price.objects.filter(model__in=MODELS).order_by("pk"):
            Price.objects.create(
                model=price.model,
                size=price.size,
                unit=price.unit,
                amount_micros=price.amount_micros + 1_237,
                cost_micros=price.cost_micros + 411,
                valid_from=self.clock.now,
            )

    def _ask(self) -> int:
        """One wish of somebody and what becomes of it; returns for how many pictures it was.

        What must happen in any month is decided by the wish's number, the rest by chance: several calls at once come
        to the upstream in any order.
        """
        self.wishes += 1
        user, count = self.random.choice(self.users), self.random.choice((1, 1, 1, 2, 3, 4))
        prompt = f"a fox {self.random.randrange(1 + self.pictures // 8)}"
        wish = {"prompt": prompt, "model": self.random.choice(MODELS), "count": count}
        spec = GenerationSpec.parse(wish, default_image_size=self.random.choice(("1K", "2K")))
        api_key = self.keys[user.pk] if self.random.random() < 0.4 else None
        troubled = 0.9 if self.random.random() < 0.2 else 0.15
        self.upstream.says(lambda: self._answer(troubled))
        try:
            reuse = self.random.random() < 0.2
            submission = services.submit(user=user, spec=spec, source="rest", api_key=api_key, reuse=reuse)
        except ServiceError as refusal:
            self.counts[f"refused: {refusal.code}"] += 1
            self._top_up(user)
            return count
        generation = submission.generation
        if self.wishes % 23 == 7:
            self.counts["left lying"] += 1
            return count
        if self.wishes % 17 == 5 and not generation.is_terminal:
            services.cancel(user=user, public_id=generation.public_id)
        self._work(generation)
        generation.refresh_from_db()
        self.counts[generation.status + (" (reused)" if generation.reused_from_id else "")] += 1
        self._afterwards(user, generation, api_key)
        return count

    def _answer(self, troubled: float) -> object:
        if self.random.random() < troubled:
            fault = self.random.choice(FAULTS)()
            return (200, fault) if isinstance(fault, bytes) else fault
        return reply(self.random.choice(self.images))

    def _work(self, generation: Generation) -> None:
        """As a worker would, however long it was told to wait before its next attempt."""
        for _ in range(20):
            work_on(generation.pk)
            if not Generation.objects.unfinished().filter(pk=generation.pk).update(next_run_at=self.clock.now):
                return

    def _top_up(self, user: User) -> None:
        amount = self.random.randrange(1, 4_000_000)
        ledger.top_up(user=user, amount_micros=amount, provider="bank", event_id=uuid.uuid4().hex)
        self.counts["top-ups"] += 1

    def _afterwards(self, user: User, generation: Generation, api_key: ApiKey | None) -> None:
        if generation.status in (Status.FAILED, Status.CANCELED) and self.wishes % 3:
            try:
                services.retry(user=user, public_id=generation.public_id, api_key=api_key)
            except ServiceError as refusal:
                self.counts[f"retry refused: {refusal.code}"] += 1
            else:
                self._work(generation)
                self.counts["retries"] += 1
        staff = {"actor": "staff", "reason": "a simulation"}
        capture = Transfer.objects.filter(reference=str(generation.public_id), code="capture").first()
        if capture and self.wishes % 6 == 0:
            for _ in range(2):
                micros = self.random.randrange(1, capture.amount_micros + 1)
                try:
                    ledger.refund(transfer=capture, amount_micros=micros, key=uuid.uuid4().hex, **staff)
                    self.counts["refunds"] += 1
                except Conflict:
                    self.counts["refunds beyond the capture"] += 1
        if self.wishes % 31 == 11:
            adjustment = self.random.choice((-1_003, 2_017))
            try:
                ledger.adjust(user=user, amount_micros=adjustment, key=uuid.uuid4().hex, **staff)
                self.counts["adjustments"] += 1
            except ServiceError as refusal:
                self.counts[f"adjustment refused: {refusal.code}"] += 1
        uncertain = reconciliation.uncertain_attempts().filter(generation=generation).first()
        if uncertain and self.wishes % 2:
            reconciliation.resolve_cost(uncertain, was_billed=self.random.random() < 0.5, **staff)
            self.counts["verdicts"] += 1

    # --- What is said of it ---

    def totals(self) -> Totals:
        first, last = BEGINS.date(), self.clock.now.date()
        report = money_report.report(money_report.Period(first, last))
        days = Period(start=first, end=last + timedelta(days=1))
        return Totals(
            wallets=sum(ledger.balance_of(user).spent for user in self.users),
            statements=sum(spent_of(user) for user in self.users),
            usage=sum(usage_of(user, days).spent for user in self.users),
            receipts=sum(net for user in self.users for net in nets_of_receipts(user)),
            revenue_account=report.account_revenue,
            money_page=report.total.revenue,
        )

    def costs(self) -> tuple[dict[str, int], dict[str, int]]:
        """What the upstream took, by the money page and by the accounts themselves."""
        total = money_report.report(money_report.Period(BEGINS.date(), self.clock.now.date())).total
        moved = Transfer.objects.filter(kind__in=("direct", "post"))
        sums = Counter()
        for side, sign in (("credit", 1), ("debit", -1)):
            for code, micros in moved.values_list(f"{side}__code").annotate(sum=Sum("amount_micros")):
                sums[code] += sign * micros
        told = {"expense": total.cost, "suspense": total.suspense, "external": -total.granted}
        return told, {name: sums[name] for name in told}


def spent_of(user: User) -> int:
    """Captures less refunds as the person's CSV has them."""
    text = b"".join(exports.stream_csv(exports.prepare(user, Period()))).decode()
    rows = csv.DictReader(io.StringIO(text, newline=""))
    kinds = ("capture", "refund")
    return -sum(ledger.parse_usd(row["posted_change"], allow_negative=True) for row in rows if row["kind"] in kinds)


def nets_of_receipts(user: User) -> Iterator[int]:
    """What each of the person's pictures cost, as its signed receipt says."""
    for public_id in Image.objects.owned_by(user).values_list("public_id", flat=True):
        receipt, is_genuine = receipts.is_genuine(receipts.receipt_of(user=user, public_id=public_id))
        assert is_genuine
        yield receipt["cost"]["net_micros"]
