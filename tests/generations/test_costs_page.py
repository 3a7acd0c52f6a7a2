"""Operators compare uncertain calls with the upstream's bill."""

import pytest

from generations import reconciliation
from generations.audit import audit
from generations.providers.base import ProviderError

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def uncertain(alice, upstream, submit, work):
    """Two calls whose end nobody saw."""
    upstream.says(ProviderError("unknown", "read timeout"))
    work(submit(alice))
    first, second = reconciliation.uncertain_attempts()
    return first, second


def test_the_page_is_for_operators(client, alice, staff, uncertain):
    address = f"/status/costs/{uncertain[0].public_id}/"
    assert client.get("/status/costs/").status_code == 302
    client.force_login(alice)
    assert client.get("/status/costs/").status_code == 403
    assert client.post(address, {"verdict": "billed"}).status_code == 403
    assert reconciliation.uncertain_total()[0] == 2
    client.force_login(staff)
    page = client.get("/status/costs/").content.decode()
    assert "2 calls, $0.116 at most" in page


@pytest.mark.parametrize("verdict", ["billed", "not_billed"])
def test_a_verdict_takes_the_call_off_the_list(verdict, client, staff, uncertain):
    client.force_login(staff)
    answer = client.post(f"/status/costs/{uncertain[0].public_id}/", {"verdict": verdict}, follow=True)
    page = answer.content.decode()
    assert "1 call, $0.058 at most" in page
    uncertain[0].refresh_from_db()
    assert uncertain[0].cost_verdict == verdict
    assert audit() == []


def test_a_second_verdict_is_a_conflict_and_changes_nothing(client, staff, uncertain):
    client.force_login(staff)
    address = f"/status/costs/{uncertain[0].public_id}/"
    client.post(address, {"verdict": "billed"})
    assert client.post(address, {"verdict": "not_billed"}).status_code == 409
    assert client.post(address, {"verdict": "perhaps"}).status_code == 400
    assert audit() == []


def test_looking_decides_nothing(client, staff, uncertain):
    client.force_login(staff)
    assert client.get(f"/status/costs/{uncertain[0].public_id}/").status_code == 405
    assert reconciliation.uncertain_total()[0] == 2
