"""Where newcomers come from: how many begin from one network, or at one provider, in a day. No address is kept.

A network is what one household or office has of the Internet. A provider is an autonomous system (ASN), known only
where the operator has a database of them (ASN_DATABASE): somebody may rent many networks of one provider.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import maxminddb
import structlog
from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from accounts import counters
from accounts.models import GuestUsage

log = structlog.get_logger(__name__)

# So that nobody is many by taking the next address.
PREFIX_BITS = {4: 24, 6: 48}


class NetworkFull(Exception):
    """The network, or its provider, has had its part of the day."""


def admit(measure: str, *, address: str, at: datetime, per_network: int, per_provider: int) -> None:
    """Count one newcomer of this kind from an IP address; only keyed digests stand for where it belongs.

    Raises NetworkFull, after which nothing is counted.
    """
    limits = {network_digest(address): per_network}
    if provider := _provider_of(address):
        limits[_digest(provider)] = per_provider
    with transaction.atomic():
        for digest, limit in limits.items():
            if counters.add(counters.Owner(GuestUsage, "network", digest), measure, midnight(at), 1, limit) is None:
                raise NetworkFull


def midnight(at: datetime) -> datetime:
    """When the day of this moment began, in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def seconds_left(at: datetime) -> int:
    """Until the next day in UTC, rounded up."""
    return int((midnight(at) + timedelta(days=1) - at).total_seconds()) + 1


def network_digest(address: str) -> str:
    """A digest of the network that the address belongs to, keyed so that nobody can try all addresses."""
    ip = _ip_of(address)
    # A test's client, or a socket without an address: all of them are one network.
    return _digest(str(ip_network((ip, PREFIX_BITS[ip.version]), strict=False)) if ip else "")


def provider_in(path: str, address: str) -> str:
    """The provider of an address by this database, such as AS64500; empty when it is in none.

    Raises OSError for a file that is not there, ValueError for one that is no database of providers.
    """
    ip = _ip_of(address)
    if ip is None:
        return ""
    try:
        reader = _open(path, Path(path).stat().st_mtime_ns)
        record = reader.get(ip) if ip.version <= reader.metadata().ip_version else None
    except maxminddb.InvalidDatabaseError as error:
        raise ValueError(str(error)) from error
    if record is None:
        return ""
    number = record.get("autonomous_system_number") or record.get("asn") if isinstance(record, dict) else None
    if number is None:
        raise ValueError(f"{path} has records without an ASN.")
    return f"AS{str(number).upper().removeprefix('AS')}"


def _provider_of(address: str) -> str:
    """As `provider_in`; a database that cannot be read today lets people in by their network alone."""
    if not settings.ASN_DATABASE:
        return ""
    try:
        return provider_in(settings.ASN_DATABASE, address)
    except (OSError, ValueError) as error:
        log.warning("asn_database_not_read", error=repr(error))
        return ""


@lru_cache(maxsize=1)
def _open(path: str, changed_at: int) -> maxminddb.Reader:
    """Opened again when the file is another one: such databases are renewed weekly."""
    return maxminddb.open_database(path)


def _ip_of(address: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _digest(name: str) -> str:
    return salted_hmac("accounts.guests.network", name, algorithm="sha256").hexdigest()[:32]
