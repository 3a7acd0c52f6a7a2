"""What is said of a simulated month, by everything that says something of its money and its pictures."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import date, timedelta

from django.db.models import Count, Q, Sum

from accounts import exports, ledger
from accounts.models import KeyUsage, Transfer, Usage, User
from accounts.periods import Period
from accounts.usage import usage_of
from gallery.models import Image
from generations import money_report, receipts
from generations.models import Attempt, Generation
from generations.outcomes import OUTCOMES


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


def totals_of(users: Iterable[User], first: date, last: date) -> Totals:
    users = list(users)
    report = money_report.report(money_report.Period(first, last))
    days = Period(start=first, end=last + timedelta(days=1))
    return Totals(
        wallets=sum(ledger.balance_of(user).spent for user in users),
        statements=sum(spent_of(user) for user in users),
        usage=sum(usage_of(user, days).spent for user in users),
        receipts=sum(net for user in users for net in nets_of_receipts(user)),
        revenue_account=report.account_revenue,
        money_page=report.total.revenue,
    )


def spent_of(user: User) -> int:
    """Captures less refunds as the person's CSV has them."""
    text = b"".join(exports.stream_csv(exports.prepare(user, Period()))).decode()
    rows = csv.DictReader(io.StringIO(text, newline=""))
    kinds = ("capture", "refund")
    return -sum(ledger.parse_usd(row["posted_change"], allow_negative=True) for row in rows if row["kind"] in kinds)


def nets_of_receipts(user: User) -> Iterator[int]:
    """What each of the person's pictures cost, as its signed receipt says."""
    made = Image.objects.owned_by(user).filter(output__isnull=False)
    for public_id in made.values_list("public_id", flat=True):
        receipt, is_genuine = receipts.is_genuine(receipts.receipt_of(user=user, public_id=public_id))
        assert is_genuine
        yield receipt["cost"]["net_micros"]


def costs(first: date, last: date) -> tuple[dict[str, int], dict[str, int]]:
    """What the upstream took, by the money page and by the accounts themselves."""
    total = money_report.report(money_report.Period(first, last)).total
    moved = Transfer.objects.filter(kind__in=("direct", "post"))
    sums = Counter()
    for side, sign in (("credit", 1), ("debit", -1)):
        for code, micros in moved.values_list(f"{side}__code").annotate(sum=Sum("amount_micros")):
            sums[code] += sign * micros
    told = {"expense": total.cost, "suspense": total.suspense, "external": -total.granted}
    return told, {name: sums[name] for name in told}


def miscounted() -> list[str]:
    """The days and months on which other pictures are counted against limits than were made."""
    made: Counter[tuple[str, int, str]] = Counter()
    rows = Generation.objects.filter(status="succeeded", quota_window__isnull=False)
    pictures = Count("outputs", filter=Q(outputs__is_draft=False))
    for user, key, window, count in rows.annotate(count=pictures).values_list(
        "user", "api_key", "quota_window", "count"
    ):
        for owner in (("user", user), *([("key", key)] if key else [])):
            made[(*owner, f"{window:%Y-%m-%d}")] += count
            made[(*owner, f"{window:%Y-%m}")] += count
    counted = {}
    for model, owner in ((Usage, "user"), (KeyUsage, "key")):
        column = "user" if model is Usage else "api_key"
        for pk, name, window, used in model.objects.values_list(column, "name", "window_start", "used"):
            if name in ("images_per_day", "images_per_month"):
                counted[owner, pk, f"{window:%Y-%m-%d}" if name == "images_per_day" else f"{window:%Y-%m}"] = used
    # A key without a limit of its own has no counter.
    due = Counter({place: many for place, many in made.items() if place[0] == "user" or place in counted})
    return [
        f"{' '.join(map(str, place))}: {counted.get(place, 0)} counted, {due[place]} made"
        for place in sorted(due.keys() | counted.keys())
        if counted.get(place, 0) != due[place]
    ]


def unseen() -> set[str]:
    """The outcomes that neither a call nor a wish had."""
    calls = Attempt.objects.order_by("outcome").values_list("outcome", flat=True).distinct()
    wishes = Generation.objects.order_by("error_code").values_list("error_code", flat=True).distinct()
    return OUTCOMES.keys() - set(calls) - set(wishes)
