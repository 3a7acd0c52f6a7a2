"""Keys that an upstream has refused lately, so that not every job pays a 401 before it uses the next one.

What is remembered and logged is a key's place in the list and a fingerprint, never the key.
"""

import structlog

from generations.providers import shared_state
from generations.providers.base import Provider

log = structlog.get_logger(__name__)

REMEMBERED_S = 300.0
TOLD_EVERY_S = 3600.0


def preferred(provider: Provider, key_index: int = 0) -> int:
    """This key, or the next one after it that was not refused lately; this one too when all of them were."""
    if provider.key_count < 2:
        return key_index
    refused = refused_indexes(provider)
    for step in range(provider.key_count):
        candidate = (key_index + step) % provider.key_count
        if candidate not in refused:
            return candidate
    return key_index


def refused_indexes(provider: Provider) -> set[int]:
    """The places of the keys that this upstream has refused within REMEMBERED_S seconds."""
    names = [_name(provider, index) for index in range(provider.key_count)]
    found = shared_state.get_many(names)
    return {index for index, name in enumerate(names) if name in found}


def remember(provider: Provider, key_index: int) -> None:
    """Note that a call with this key ended as `auth`; one line in the log an hour, however many jobs find it out."""
    name = _name(provider, key_index)
    shared_state.put(name, True, kept_s=REMEMBERED_S)
    if shared_state.add(f"{name}:told", True, kept_s=TOLD_EVERY_S):
        fingerprint = provider.key_fingerprint(key_index)
        log.error("upstream_key_refused", upstream=provider.name, key_index=key_index, fingerprint=fingerprint)


def _name(provider: Provider, key_index: int) -> str:
    return f"refused-key:{provider.name}:{provider.key_fingerprint(key_index)}"
