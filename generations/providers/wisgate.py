"""WisGate's Gemini-native protocol (seeds 002 and 004); the emulator and Google speak it as well."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import orjson
import requests
from django.conf import settings

from generations import catalog
from generations.providers.answer import Answer
from generations.providers.base import Provider, ProviderError
from generations.providers.http import new_session, post_json
from generations.spec import GenerationSpec
from generations.wire import gemini


class WisGate(Provider):
    """`base_url` ends with the API version; `keys` are tried in their order when one is refused."""

    name = "wisgate"

    def __init__(self, *, base_url: str, keys: Sequence[str]) -> None:
        self._base_url = base_url
        self._keys = tuple(keys)
        self.key_count = len(self._keys)

    @cached_property
    def _session(self) -> requests.Session:
        return new_session(settings.WORKER_CONCURRENCY)

    def upstream_model(self, spec: GenerationSpec) -> str:
        return catalog.get_model(spec.model).upstream_ids[self.name]

    def send(self, spec: GenerationSpec, *, key_index: int, timeout_s: float, spool_path: Path) -> Answer:
        if not self._base_url or not self._keys:
            raise ProviderError("unavailable", "no upstream is configured")
        size_token = catalog.size_token(self.name, spec.image_size)
        return post_json(
            self._session,
            self._base_url + gemini.request_path(self.upstream_model(spec)),
            headers={"x-goog-api-key": self._keys[key_index], "Content-Type": "application/json"},
            body=orjson.dumps(gemini.build_request(spec, upstream_size_token=size_token)),
            timeout_s=timeout_s,
            max_bytes=settings.UPSTREAM_MAX_RESPONSE_BYTES,
            spool_path=spool_path,
        )

    def read(self, answer: Answer) -> gemini.ParsedReply:
        return gemini.parse_response(answer.status, answer.headers, answer.read_body())
