"""A month of many people's use in one process, with an upstream that fails in every way; its clock is moved by hand.

Real submits, pipeline and settlement; only the upstream and the time are not, and there are no renditions. People run
into the budgets and limits of their keys, their plans and their own, and nothing may come of a wish that was refused.
Afterwards every account of the money must say the same: `Month.totals`.
"""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from django.core.files.base import ContentFile
from django.test import override_settings

from accounts import keys, ledger, quotas
from accounts.errors import Conflict, ServiceError
from accounts.models import ApiKey, Plan, Price, Transfer, User
from gallery import erasure
from gallery import services as gallery
from generations import leases, reconciliation, services, sweeper
from generations.models import Generation, Status
from generations.running import count_running
from generations.spec import GenerationSpec
from generations.tasks import work_on
from tests.generations import month_books
from tests.generations.fakes import png
from tests.generations.month_upstream import Upstreams
from tests.people import make_person

BEGINS = datetime(2027, 3, 17, 6, tzinfo=UTC)  # so that the new month's credit comes in the middle
LASTS = timedelta(days=30)
CREDIT = 3_000_000
GPT, FLASH = "gpt-image-2", "gemini-3.1-flash-image-preview"
MODELS = (FLASH, "gemini-3-pro-image-preview", GPT)
SIZES = ("1K", "2K")
STAFF = {"actor": "staff", "reason": "a simulation"}
MOST_IN_A_HURRY = 12  # wishes
MOST_TRIES = 20


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
class Habit:
    """Somebody's plan and what their key may do; who `hurries` asks for more than one of them allows."""

    plan: str = "unlimited"
    own: dict[str, int] = field(default_factory=dict)
    key: dict[str, object] = field(default_factory=dict)
    hurries: bool = True
    by_key: bool = True


def habits(pictures_each: int) -> tuple[Habit, ...]:
    """What people's limits are, in turn."""
    return (
        Habit(key={"budget_micros": 700_000, "budget_period": "month"}),
        Habit(
            plan="credited",
            own={"concurrent": 1},
            hurries=False,
            key={"budget_micros": 4_000_000, "budget_period": "total"},
        ),
        Habit(plan="modest", by_key=False),
        Habit(key={"limits": {"images_per_day": 6}}),
        Habit(own={"images_per_month": max(8, pictures_each // 4)}, by_key=False),
    )


@dataclass(kw_only=True)
class Month:
    people: int
    pictures: int  # that are asked for and not refused
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)  # what happened
    traces: list[str] = field(default_factory=list)  # what a refusal left behind
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.wishes = self.asked = 0
        self.upstreams = Upstreams(self.random)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The upstream, the clock and what is left out; the figures are read inside as well."""
        with ExitStack() as stack:
            stack.enter_context(self.clock.in_force())
            stack.enter_context(override_settings(UPSTREAM_BREAKER_FAILURES=10**9))
            stack.enter_context(patch("generations.pipeline.providers_for", self.upstreams.providers_for))
            stack.enter_context(
                patch("celery.app.task.Task.apply_async")
            )  # the month works by itself, and paints no thumbnails
            yield

    # --- The month ---

    def live(self, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """Until all its pictures were asked for, or it is over; prices change when a half of them was."""
        self._begin()
        is_dearer, today = False, BEGINS.date()
        while self.asked < self.pictures and not is_over():
            self.clock.now = max(self.clock.now, BEGINS + LASTS * self.asked / self.pictures)
            if self.clock.now.date() > today:
                today = self.clock.now.date()
                self._clean_up()
            if self.asked >= self.pictures / 2 and not is_dearer:
                self._raise_prices()
                is_dearer = True
            self.asked += self._ask()
        self.clock.now = BEGINS + LASTS
        self._clean_up()

    def _clean_up(self) -> None:
        """What nobody has worked on, and what somebody has left behind; as each night."""
        sweeper.sweep()
        for each in Generation.objects.unfinished().paid_for():
            self._work(each)

    def _begin(self) -> None:
        Plan.objects.create(name="credited", rank=50, monthly_credit_micros=CREDIT)
        Plan.objects.create(name="modest", rank=40, monthly_credit_micros=CREDIT, images_per_day=6)
        plans = {plan.name: plan for plan in Plan.objects.all()}
        for size in SIZES:
            fields = {"model": GPT, "size": size, "amount_micros": 61_003, "cost_micros": 41_001}
            Price.objects.create(**fields, valid_from=BEGINS)
        self.users: list[User] = []
        self.keys: dict[int, ApiKey] = {}
        self.habits: dict[int, Habit] = {}
        kinds = habits(self.pictures // self.people)
        for number in range(self.people):
            habit = kinds[number % len(kinds)]
            credit = self.random.choice((0, 1_000_000, 5_000_000))
            user = make_person(f"person-{uuid.uuid4().hex}", credit_micros=credit)
            User.objects.filter(pk=user.pk).update(plan=plans[habit.plan])
            user.refresh_from_db()
            if habit.own:
                quotas.override_limits(user=user, **habit.own, **STAFF)
            self.users.append(user)
            self.keys[user.pk] = keys.create_key(user=user, **habit.key).api_key
            self.habits[user.pk] = habit

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
        """One wish of somebody and what becomes of it; returns for how many pictures it was, none if it was refused.

        What must happen in any month is decided by the wish's number, the rest by chance: several calls at once come
        to the upstream in any order.
        """
        if self.wishes % 11 == 3:
            return self._hurry()
        user = self.random.choice(self.users)
        if self.wishes % 29 == 17:
            return self._lose_what_it_brought(user)
        api_key = self.keys[user.pk] if self.random.random() < 0.4 else None
        count = self.random.choice((1, 1, 1, 2, 3, 4))
        generation = self._submit(user, api_key, count=count, reuse=self.random.random() < 0.2)
        if generation is None:
            return 0
        if self.wishes % 23 == 7:
            self.counts["left lying"] += 1
        elif self.wishes % 37 == 9 and leases.claim(generation.pk):
            self.counts["left by a worker that died"] += 1
        else:
            self._see_through(user, api_key, generation)
        return count

    def _hurry(self) -> int:
        """Four pictures again and again until something refuses them; returns how many it did not."""
        who = [user for user in self.users if self.habits[user.pk].hurries]
        user = who[self.counts["hurries"] % len(who)]
        self.counts["hurries"] += 1
        api_key = self.keys[user.pk] if self.habits[user.pk].by_key else None
        if ledger.balance_of(user).available < 2 * CREDIT:
            self._top_up(user, 2 * CREDIT)  # so that it is no lack of money that stops them
        for number in range(MOST_IN_A_HURRY):
            generation = self._submit(user, api_key, count=4, reuse=False)
            if generation is None:
                return 4 * number
            self._see_through(user, api_key, generation)
        return 4 * MOST_IN_A_HURRY

    def _lose_what_it_brought(self, user: User) -> int:
        """A wish with a picture that is purged before the wish is worked on."""
        upload = gallery.add_upload(owner=user, file=ContentFile(png("maroon"), name="fox.png"))
        generation = self._submit(user, None, count=1, reuse=False, references=[str(upload.public_id)], model=FLASH)
        gallery.trash_image(owner=user, public_id=upload.public_id)
        erasure.purge_trashed(owner=user, public_id=upload.public_id)
        if generation is None:
            return 0
        self._see_through(user, None, generation)
        return 1

    def _submit(
        self, user: User, api_key: ApiKey | None, *, count: int, reuse: bool, **fields: object
    ) -> Generation | None:
        self.wishes += 1
        prompt = f"a fox {self.random.randrange(1 + self.pictures // 8)}"
        wish = {"prompt": prompt, "model": self.random.choice(MODELS), "count": count} | fields
        spec = GenerationSpec.parse(wish, default_image_size=self.random.choice(SIZES))
        self.upstreams.troubled = 0.9 if self.wishes % 4 == 1 else 0.15
        before = self._standing(user, api_key)
        try:
            submission = services.submit(user=user, spec=spec, source="rest", api_key=api_key, reuse=reuse)
        except ServiceError as refusal:
            by = f" ({refusal.facts['policy']})" if "policy" in refusal.facts else ""
            self.counts[f"refused: {refusal.code}{by}"] += 1
            if self._standing(user, api_key) != before:
                self.traces.append(f"{refusal.code} of {user.pk} at {self.clock.now}")
            if refusal.code == "insufficient_credit":
                self._top_up(user, self.random.randrange(1, 4_000_000))
            return None
        return submission.generation

    def _standing(self, user: User, api_key: ApiKey | None) -> tuple[object, ...]:
        """What a refusal must leave as it was; credit may come before it, as the first wish of a month brings that."""
        balance, jobs = ledger.balance_of(user), Generation.objects.filter(user=user)
        standing = quotas.standing_of(user, api_key=api_key)
        limits = quotas.describe_standing(standing, running=count_running(standing))
        budgets = ledger.budgets_of([api_key] if api_key else [])
        return balance.held, balance.spent, budgets, limits, jobs.count()

    # --- What becomes of a wish ---

    def _see_through(self, user: User, api_key: ApiKey | None, generation: Generation) -> None:
        if self.wishes % 17 == 5 and not generation.is_terminal:
            services.cancel(user=user, public_id=generation.public_id)
        self._work(generation)
        generation.refresh_from_db()
        self.counts[generation.status + (" (reused)" if generation.reused_from_id else "")] += 1
        self._afterwards(user, generation, api_key)

    def _work(self, generation: Generation) -> None:
        """As a worker would, however long it was told to wait before its next attempt; some take their time."""
        for number in range(MOST_TRIES):
            work_on(generation.pk)
            if self.wishes % 11 == 2 and number:
                self.clock.now += timedelta(seconds=61)
            # One that waits for the pictures of another ends with that.
            waiting = Generation.objects.unfinished().paid_for().filter(pk=generation.pk)
            if not waiting.update(next_run_at=self.clock.now):
                return

    def _top_up(self, user: User, amount: int) -> None:
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
        capture = Transfer.objects.filter(reference=str(generation.public_id), code="capture").first()
        if capture and self.wishes % 6 == 0:
            for _ in range(2):
                micros = self.random.randrange(1, capture.amount_micros + 1)
                try:
                    ledger.refund(transfer=capture, amount_micros=micros, key=uuid.uuid4().hex, **STAFF)
                    self.counts["refunds"] += 1
                except Conflict:
                    self.counts["refunds beyond the capture"] += 1
        if self.wishes % 31 == 11:
            adjustment = self.random.choice((-1_003, 2_017))
            try:
                ledger.adjust(user=user, amount_micros=adjustment, key=uuid.uuid4().hex, **STAFF)
                self.counts["adjustments"] += 1
            except ServiceError as refusal:
                self.counts[f"adjustment refused: {refusal.code}"] += 1
        uncertain = reconciliation.uncertain_attempts().filter(generation=generation).first()
        if uncertain and self.wishes % 2:
            reconciliation.resolve_cost(uncertain, was_billed=self.random.random() < 0.5, **STAFF)
            self.counts["verdicts"] += 1

    # --- What is said of it ---

    def totals(self) -> month_books.Totals:
        return month_books.totals_of(self.users, BEGINS.date(), self.clock.now.date())

    def costs(self) -> tuple[dict[str, int], dict[str, int]]:
        return month_books.costs(BEGINS.date(), self.clock.now.date())
