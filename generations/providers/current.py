"""Which upstream serves this instance: WisGate with the operator's keys, or the emulator."""

from functools import lru_cache

from django.conf import settings

from generations.providers.base import Provider
from generations.providers.wisgate import WisGate


def current_provider() -> Provider:
    if settings.EMULATOR:
        return _wisgate(settings.EMULATOR_URL, (settings.EMULATOR_KEY,))
    return _wisgate(settings.WISDOM_GATE_NATIVE_URL, tuple(settings.WISDOM_GATE_KEYS))


@lru_cache(maxsize=8)
def _wisgate(base_url: str, keys: tuple[str, ...]) -> WisGate:
    return WisGate(base_url=base_url, keys=keys)
