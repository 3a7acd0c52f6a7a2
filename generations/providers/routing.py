"""Which upstream and which key the next call goes to, as things are: breakers that are open, keys that were refused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from generations.providers import breaker, refused_keys
from generations.providers.base import Provider
from generations.providers.breaker import Permit, Refusal
from generations.providers.resilience import Retry
from generations.spec import GenerationSpec


@dataclass(frozen=True)
class Way:
    """One call that may be made now."""

    retry: Retry
    permit: Permit


def find_way(
    providers: Sequence[Provider], spec: GenerationSpec, retry: Retry, *, instead: Collection[int] = ()
) -> Way | Refusal:
    """The way of `retry`, or of the first upstream among `instead` (places in the order of fallback) that is open to
    calls; else the Refusal that ends first."""
    refusals = []
    for place in (retry.upstream, *instead):
        provider = providers[place]
        answer = breaker.admit(provider.name, provider.upstream_model(spec))
        if isinstance(answer, Permit):
            key_index = refused_keys.preferred(provider, retry.key_index if place == retry.upstream else 0)
            return Way(replace(retry, upstream=place, key_index=key_index), answer)
        refusals.append(answer)
    return min(refusals, key=lambda refusal: refusal.wait_s)


def away(providers: Sequence[Provider], spec: GenerationSpec) -> frozenset[int]:
    """The places of the upstreams that may not be asked at this moment."""
    return frozenset(place for place, each in enumerate(providers) if breaker.wait_s([each], spec) > 0)
