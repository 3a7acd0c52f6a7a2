"""How many newcomers a network and a provider may have in a day; the providers are in a database that a test writes."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from accounts import networks
from accounts.models import GuestUsage
from tests.accounts.mmdb import write_mmdb

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
PROVIDERS = {
    "192.0.2.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Hosting"},
    "198.51.100.0/24": {"autonomous_system_number": 64500},
    "203.0.113.0/25": {"asn": "AS64501"},
    "2001:db8::/32": {"autonomous_system_number": 64500},
}


@pytest.fixture
def database(settings, tmp_path):
    settings.ASN_DATABASE = str(write_mmdb(tmp_path / "asn.mmdb", PROVIDERS))


def admit(address, *, at=NOON, per_network=100, per_provider=100, measure="guests"):
    networks.admit(measure, address=address, at=at, per_network=per_network, per_provider=per_provider)


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("192.0.2.9", "AS64500"),
        ("::ffff:198.51.100.1", "AS64500"),
        ("203.0.113.7", "AS64501"),
        ("203.0.113.200", ""),
        ("2001:db8:1::1", "AS64500"),
        ("2001:db9::1", ""),
        ("unix", ""),
    ],
)
def test_a_provider_is_found_by_its_number(settings, database, address, provider):
    assert networks.provider_in(settings.ASN_DATABASE, address) == provider


def test_a_provider_has_its_part_of_the_day_over_all_its_networks(database):
    for address in ("192.0.2.1", "198.51.100.1", "2001:db8:1::1"):
        admit(address, per_provider=3)
    with pytest.raises(networks.NetworkFull):
        admit("2001:db8:2::1", per_provider=3)
    admit("203.0.113.1", per_provider=3)
    admit("203.0.113.200", per_provider=3)
    admit("192.0.2.1", at=NOON + timedelta(days=1), per_provider=3)


def test_who_is_refused_is_counted_nowhere(database):
    admit("192.0.2.1", per_provider=1)
    with pytest.raises(networks.NetworkFull):
        admit("198.51.100.1", per_provider=1)
    assert not GuestUsage.objects.filter(network=networks.network_digest("198.51.100.1")).exists()
    assert sorted(GuestUsage.objects.values_list("used", flat=True)) == [1, 1]


def test_guests_and_sign_ups_are_counted_apart(database):
    admit("192.0.2.1", per_network=1, per_provider=1)
    admit("192.0.2.1", per_network=1, per_provider=1, measure="signups")


def test_without_a_database_only_networks_count():
    admit("192.0.2.1", per_network=1, per_provider=1)
    admit("198.51.100.1", per_network=1, per_provider=1)
    with pytest.raises(networks.NetworkFull):
        admit("192.0.2.2", per_network=1, per_provider=1)


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_a_database_that_cannot_be_read_lets_people_in_by_their_network(settings, tmp_path, content):
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)
    settings.ASN_DATABASE = str(path)
    admit("192.0.2.1", per_network=1, per_provider=1)
    admit("198.51.100.1", per_network=1, per_provider=1)
    with pytest.raises(networks.NetworkFull):
        admit("192.0.2.2", per_network=1, per_provider=1)


def test_a_database_of_something_else_is_refused(tmp_path):
    path = write_mmdb(tmp_path / "city.mmdb", {"192.0.2.0/24": {"city": "Berlin"}})
    with pytest.raises(ValueError, match="without an ASN"):
        networks.provider_in(str(path), "192.0.2.1")


def test_a_renewed_database_is_read_without_a_restart(settings, database, tmp_path):
    assert networks.provider_in(settings.ASN_DATABASE, "192.0.2.1") == "AS64500"
    new = write_mmdb(tmp_path / "new.mmdb", {"192.0.2.0/24": {"asn": "AS64999"}})
    os.utime(new, (1, 1))
    os.replace(new, settings.ASN_DATABASE)
    assert networks.provider_in(settings.ASN_DATABASE, "192.0.2.1") == "AS64999"
