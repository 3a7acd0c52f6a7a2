"""A writer of small MMDB files, after the format's specification: a tree of addresses with maps at its leaves."""

from ipaddress import ip_network
from pathlib import Path

MARKER = b"\xab\xcd\xefMaxMind.com"
STRING, UINT16, UINT32, MAP = 2, 5, 6, 7
UINT64, ARRAY = 9, 11  # beyond 7 the type has a byte of its own


def _field(kind: int, size: int) -> bytes:
    if size >= 29:  # up to 284, in a byte of its own
        return bytes([kind << 5 | 29, size - 29])
    return bytes([kind << 5 | size]) if kind <= 7 else bytes([size, kind - 7])


def _number(kind: int, value: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _field(kind, len(digits)) + digits


def _string(text: str) -> bytes:
    return _field(STRING, len(text.encode())) + text.encode()


def _map(items: dict[str, bytes]) -> bytes:
    return _field(MAP, len(items)) + b"".join(_string(name) + value for name, value in items.items())


def write_mmdb(path: Path, records: dict[str, dict[str, int | str]]) -> Path:
    """A database of these networks ("192.0.2.0/24") and what is said of each; IPv4 stands below ::/96."""
    data, offsets = b"", {}
    for name, record in records.items():
        offsets[name] = len(data)
        data += _map(
            {key: _number(UINT32, value) if isinstance(value, int) else _string(value) for key, value in record.items()}
        )
    nodes: list[list[int | str | None]] = [[None, None]]
    for name in records:
        network = ip_network(name)
        shift = 96 if network.version == 4 else 0
        address, length = int(network.network_address), network.prefixlen + shift
        node = 0
        for depth in range(length):
            bit = address >> (127 - depth) & 1
            if depth == length - 1:
                nodes[node][bit] = name
                break
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]  # type: ignore[assignment]

    def as_record(child: int | str | None) -> bytes:
        if isinstance(child, str):
            child = len(nodes) + 16 + offsets[child]
        return (len(nodes) if child is None else child).to_bytes(3, "big")

    tree = b"".join(as_record(child) for node in nodes for child in node)
    metadata = _map(
        {
            "node_count": _number(UINT32, len(nodes)),
            "record_size": _number(UINT16, 24),
            "ip_version": _number(UINT16, 6),
            "database_type": _string("Test-ASN"),
            "languages": _field(ARRAY, 0),
            "binary_format_major_version": _number(UINT16, 2),
            "binary_format_minor_version": _number(UINT16, 0),
            "build_epoch": _number(UINT64, 1),
            "description": _map({"en": _string("networks of a test")}),
        }
    )
    path.write_bytes(tree + bytes(16) + data + MARKER + metadata)
    return path
