"""Pictures that an upstream answers with as an address. Fetching an address that somebody else chose is how a server is
made to ask its own network (TRUST S11), so it is off unless the operator names the hosts."""

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

import structlog
import urllib3
from django.conf import settings

from generations.providers.answer import durable_file

log = structlog.get_logger(__name__)

MAX_BYTES = 10 * 1024 * 1024
TIMEOUT_S = 5.0
CHUNK = 64 * 1024


class LinkRefused(Exception):
    """The address is not fetched, or what is there cannot be had; the text says why."""


def fetch_link(url: str, path: Path) -> None:
    """Put the picture at `url` into `path`. Raises LinkRefused.

    Only https, a host that UPSTREAM_LINK_HOSTS names, a public address that is resolved once and kept, no redirect,
    10 MiB and 5 s.
    """
    host, port, target = _checked(url)
    address = _resolve(host, port)
    pool = urllib3.HTTPSConnectionPool(
        address, port, server_hostname=host, assert_hostname=host, cert_reqs="CERT_REQUIRED", retries=False
    )
    try:
        answer = pool.urlopen(
            "GET",
            target,
            headers={"Host": host, "Accept": "image/*,video/mp4", "Accept-Encoding": "identity"},
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S, total=TIMEOUT_S),
        )
        with durable_file(path) as file:
            if answer.status != 200:
                raise LinkRefused(f"the host of the picture answered {answer.status}")
            received = 0
            while chunk := answer.read(CHUNK, decode_content=False):
                received += len(chunk)
                if received > MAX_BYTES:
                    raise LinkRefused(f"the picture is longer than {MAX_BYTES} bytes")
                file.write(chunk)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise LinkRefused(f"the picture could not be fetched: {type(error).__name__}") from error
    finally:
        pool.close()


def _checked(url: str) -> tuple[str, int, str]:
    """Host, port and target of an address that may be asked."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not host or parts.username or parts.password:
        raise LinkRefused("only plain https addresses are fetched")
    if host not in settings.UPSTREAM_LINK_HOSTS:
        raise LinkRefused(f"{host[:100]} is not named in UPSTREAM_LINK_HOSTS")
    try:
        port = parts.port or 443
    except ValueError as error:
        raise LinkRefused("the port is not a number") from error
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _resolve(host: str, port: int) -> str:
    """The first address of the host, if all of them are public: a name may point into our own network."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LinkRefused("the host of the picture is not known") from error
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise LinkRefused("the host of the picture is in a private network")
    return str(addresses[0])


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or mapped.is_global)
