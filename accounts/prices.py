"""Taking what has a price out of sale. A price is never changed or deleted, because charges refer to it."""

from collections.abc import Iterable

from django.utils import timezone

from accounts.models import Price


def withdraw_from_sale(prices: Iterable[Price]) -> list[Price]:
    """Stop selling what these are the prices of, from now on, until a later price begins; returns the new rows.

    What is queued already is made and charged at the price it was quoted. What is not for sale stays as it is.
    """
    now = timezone.now()
    sold = {(row.model, row.size, row.unit): row for row in Price.objects.in_force(now)}
    wanted = dict.fromkeys((row.model, row.size, row.unit) for row in prices)
    return [
        Price.objects.create(
            model=model,
            size=size,
            unit=unit,
            amount_micros=sold[model, size, unit].amount_micros,
            cost_micros=sold[model, size, unit].cost_micros,
            comparison_micros=sold[model, size, unit].comparison_micros,
            is_offered=False,
            valid_from=now,
        )
        for model, size, unit in wanted
        if (model, size, unit) in sold
    ]
