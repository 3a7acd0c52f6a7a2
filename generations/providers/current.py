"""Which upstreams serve this instance, and in which order: WisGate's protocols with the operator's keys, or the
emulator's with its own."""

from functools import lru_cache

from django.conf import settings

from accounts.errors import InvalidInput
from generations import catalog
from generations.catalog import Model, Protocol
from generations.providers.base import Provider
from generations.providers.wisgate import Chat, Images, Native, WisGate
from generations.spec import GenerationSpec

PROTOCOLS: dict[Protocol, type[WisGate]] = {"native": Native, "chat": Chat, "images": Images}


def providers_for(spec: GenerationSpec) -> tuple[Provider, ...]:
    """Who may be asked for this wish, in the order of fallback; at least one.

    All of them batch or none does: the calls of a wish for several pictures must not change their shape on the way.
    """
    routes = [route.protocol for route in catalog.get_model(spec.model).routes]
    able = [protocol for protocol in routes if PROTOCOLS[protocol].carries(spec)] or routes[:1]
    able = [protocol for protocol in able if _where(protocol)[0]] or able[:1]
    first = PROTOCOLS[able[0]]
    alike = [each for each in able if spec.count == 1 or PROTOCOLS[each].is_batching == first.is_batching]
    return tuple(_provider(protocol, *_where(protocol)) for protocol in alike)


def kinds_of(model: Model) -> tuple[str, ...]:
    """What may be asked for of this model here: the kinds that a protocol with an address carries.

    Without any address, as in a command without an emulator, those of the catalogue.
    """
    reachable = [route.protocol for route in model.routes if _where(route.protocol)[0]]
    if not reachable:
        return model.kinds
    return tuple(kind for kind in model.kinds if any(kind in PROTOCOLS[protocol].kinds for protocol in reachable))


def check_carried(spec: GenerationSpec) -> None:
    """Raises InvalidInput for a kind that none of the addresses here carries: no attempt could bring it."""
    kinds = kinds_of(catalog.get_model(spec.model))
    if spec.kind not in kinds:
        allowed = ", ".join(f'"{kind}"' for kind in kinds)
        raise InvalidInput.of("kind", f'kind "{spec.kind}" has no upstream on this server; allowed: {allowed}.')


def _where(protocol: Protocol) -> tuple[str, tuple[str, ...]]:
    if settings.EMULATOR:
        base = settings.EMULATOR_URL.removesuffix("/v1beta")
        address = settings.EMULATOR_URL if protocol == "native" else f"{base}/v1" if base else ""
        return address, (settings.EMULATOR_KEY,)
    address = settings.WISDOM_GATE_NATIVE_URL if protocol == "native" else settings.WISDOM_GATE_CHAT_URL
    return address, tuple(settings.WISDOM_GATE_KEYS)


@lru_cache(maxsize=16)
def _provider(protocol: Protocol, base_url: str, keys: tuple[str, ...]) -> WisGate:
    return PROTOCOLS[protocol](base_url=base_url, keys=keys)
