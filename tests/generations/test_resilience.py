"""What follows an attempt: the retry column of WIRE 5, the shared deadline, and the backoff."""

import pytest

from generations.outcomes import OUTCOMES
from generations.providers.resilience import GiveUp, Made, Retry, decide


def decision(*made, keys=(1,), retry_after_s=None, remaining_s=100.0, max_paid=2, **options):
    """`made` are outcomes at the first upstream with its first key, or Made rows."""
    return decide(
        [Made(call) if isinstance(call, str) else call for call in made],
        key_counts=keys,
        retry_after_s=retry_after_s,
        remaining_s=remaining_s,
        max_paid=max_paid,
        **options,
    )


AGAIN = {"no_image", "truncated", "malformed", "unavailable", "rate_limited", "unknown"}


@pytest.mark.parametrize("name", [name for name in OUTCOMES if name not in ("ok", "partial")])
def test_each_outcome_is_tried_again_as_its_row_says(name):
    assert isinstance(decision(name), Retry if name in AGAIN else GiveUp)


@pytest.mark.parametrize("name", ["no_image", "truncated", "malformed", "unknown"])
def test_a_second_paid_attempt_is_the_last(name):
    assert isinstance(decision(name, name), GiveUp)


def test_paid_attempts_of_different_kinds_count_together():
    assert isinstance(decision("truncated", "unknown"), GiveUp)
    assert isinstance(decision("unavailable", "rate_limited", "unknown"), Retry)


def test_once_means_once_even_when_more_may_be_paid():
    assert isinstance(decision("no_image", "no_image", max_paid=5), GiveUp)
    assert isinstance(decision("unknown", "unknown", max_paid=5), Retry)


def test_free_attempts_end_too():
    assert isinstance(decision(*["unavailable"] * 8), Retry)
    assert isinstance(decision(*["unavailable"] * 9), GiveUp)


def test_the_next_key_is_tried_once_and_at_once():
    assert decision("auth", keys=(2,)) == Retry(key_index=1)
    assert isinstance(decision("auth", Made("auth", key_index=1), keys=(2,)), GiveUp)
    assert isinstance(decision("auth"), GiveUp)


def test_another_upstream_is_asked_at_once_after_a_free_refusal():
    assert decision("unavailable", keys=(1, 1)) == Retry(upstream=1)
    assert decision("auth", keys=(1, 1)) == Retry(upstream=1)
    assert decision("auth", keys=(2, 1)) == Retry(key_index=1)
    assert decision("auth", Made("auth", key_index=1), keys=(2, 1)) == Retry(upstream=1)


def test_nobody_else_is_asked_after_a_paid_outcome():
    assert decision("unknown", keys=(1, 1)).upstream == 0
    assert isinstance(decision("blocked", keys=(1, 1)), GiveUp)


def test_when_every_upstream_is_away_the_last_one_is_asked_again_later():
    again = decision("unavailable", Made("unavailable", upstream=1), keys=(1, 1), retry_after_s=3)
    assert again.upstream == 1
    assert again.delay_s >= 3


def test_what_is_due_does_not_wait_again():
    assert decision("rate_limited", is_due=True) == Retry()


def test_the_upstreams_delay_is_a_lower_bound():
    assert all(17 <= decision("rate_limited", retry_after_s=17).delay_s < 18 for _ in range(50))


def test_a_delay_beyond_the_deadline_ends_it_and_says_so():
    ended = decision("rate_limited", retry_after_s=200, remaining_s=100)
    assert isinstance(ended, GiveUp)
    assert "200 s" in ended.detail


def test_backoff_grows_with_full_jitter_and_is_capped():
    first = [decision("unavailable").delay_s for _ in range(200)]
    fourth = [decision(*["unavailable"] * 4).delay_s for _ in range(200)]
    assert max(first) <= 1
    assert 1 < max(fourth) <= 8
    assert min(fourth) < 4
