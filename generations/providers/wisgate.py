"""WisGate by each of its protocols: Gemini-native (seeds 002 and 004), chat completions (seed 000), images.

The emulator speaks all of them, and so does any server whose addresses and keys are given instead.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import requests
from django.conf import settings
from django.utils.crypto import salted_hmac

from generations import catalog
from generations.catalog import Protocol, Route
from generations.providers import streaming
from generations.providers.answer import Answer
from generations.providers.base import NOTHING, Brought, Provider, ProviderError
from generations.providers.http import new_session, post_json
from generations.spec import GenerationSpec
from generations.wire import gemini, openai
from generations.wire.gemini import Piece
from generations.wire.reply import ParsedReply


class WisGate(Provider):
    """`base_url` ends with the API version; `keys` are tried in their order when one is refused."""

    protocol: Protocol

    def __init__(self, *, base_url: str, keys: Sequence[str]) -> None:
        self._base_url = base_url
        self._keys = tuple(keys)
        self.key_count = len(self._keys)

    def key_fingerprint(self, key_index: int) -> str:
        return salted_hmac("generations.upstream-key", self._keys[key_index], algorithm="sha256").hexdigest()[:12]

    @cached_property
    def _session(self) -> requests.Session:
        return new_session(settings.WORKER_CONCURRENCY)

    def upstream_model(self, spec: GenerationSpec) -> str:
        return self._route(spec).upstream_id

    def _route(self, spec: GenerationSpec) -> Route:
        routes = catalog.get_model(spec.model).routes
        return next(route for route in routes if route.protocol == self.protocol)

    def send(
        self,
        spec: GenerationSpec,
        *,
        key_index: int,
        timeout_s: float,
        spool_path: Path,
        brought: Brought = NOTHING,
        on_piece: Callable[[Piece], None] | None = None,
    ) -> Answer:
        if not self._base_url or not self._keys:
            raise ProviderError("unavailable", "no upstream is configured")
        try:
            body = self._build(spec, brought)
        except ValueError as problem:  # more pictures than a request carries; asked before too, but files differ
            raise ProviderError("invalid", str(problem)) from None
        content, model = orjson.dumps(body), self.upstream_model(spec)
        place = streaming.Place(self.name, self._base_url, model)
        stream_path = self._stream_path(spec)
        if on_piece and stream_path and streaming.is_offered(place):
            started = time.monotonic()
            # A session of its own: a connection that the upstream is just closing must not carry the call that follows.
            with streaming.shown(on_piece) as on_chunk, new_session(1) as session:
                answer = self._post(session, stream_path, content, key_index, timeout_s, spool_path, on_chunk)
            if answer.status not in streaming.NOT_OFFERED:
                return answer
            # Nothing was painted and nothing bought: the same call goes on without a stream.
            streaming.remember_refusal(place, answer.status)
            timeout_s = max(1.0, timeout_s - (time.monotonic() - started))
        return self._post(self._session, self._path(spec), content, key_index, timeout_s, spool_path)

    def _post(
        self,
        session: requests.Session,
        path: str,
        content: bytes,
        key_index: int,
        timeout_s: float,
        spool_path: Path,
        on_chunk: Callable[[bytes], None] | None = None,
    ) -> Answer:
        return post_json(
            session,
            self._base_url + path,
            headers={**self._credentials(self._keys[key_index]), "Content-Type": "application/json"},
            body=content,
            timeout_s=timeout_s,
            max_bytes=settings.UPSTREAM_MAX_RESPONSE_BYTES,
            spool_path=spool_path,
            on_chunk=on_chunk,
        )

    def _stream_path(self, spec: GenerationSpec) -> str:
        """The path of the same call as a stream; empty where the protocol has none that we read."""
        return ""

    @abstractmethod
    def _path(self, spec: GenerationSpec) -> str:
        """The path below the base address."""

    @abstractmethod
    def _build(self, spec: GenerationSpec, brought: Brought) -> dict[str, Any]:
        """The body. Raises ValueError for more pictures than a request may carry."""

    def _credentials(self, key: str) -> dict[str, str]:
        """Raw, as the articles send it, or as a Bearer token."""
        return {"Authorization": key if settings.UPSTREAM_CHAT_AUTH == "raw" else f"Bearer {key}", "Accept": "*/*"}


class Native(WisGate):
    """One picture a call, never a clip; carries everything that a wish for a picture can say."""

    name = "wisgate"
    protocol = "native"

    @classmethod
    def carries(cls, spec: GenerationSpec) -> bool:
        return spec.kind in cls.kinds

    def _path(self, spec: GenerationSpec) -> str:
        return gemini.request_path(self.upstream_model(spec))

    def _stream_path(self, spec: GenerationSpec) -> str:
        return gemini.request_path(self.upstream_model(spec), stream=True)

    def _credentials(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    def _build(self, spec: GenerationSpec, brought: Brought) -> dict[str, Any]:
        return gemini.build_request(
            spec,
            upstream_size_token=catalog.size_token(self.name, spec.image_size),
            thinking=spec.thinking or "off",
            include_thoughts=spec.include_thoughts,
            grounding=spec.grounding,
            references=brought.references,
            earlier=brought.earlier,
        )

    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        if answer.is_stream and answer.status == 200:
            return gemini.parse_stream(answer.headers, answer.read_body(), broken=answer.is_broken)
        return gemini.parse_response(answer.status, answer.headers, answer.read_body())


class Chat(WisGate):
    """Any number of pictures in one call, and clips; shape and size are words in the prompt."""

    name = "wisgate-chat"
    protocol = "chat"
    is_batching = True
    kinds = ("image", "video")

    @classmethod
    def carries(cls, spec: GenerationSpec) -> bool:
        if spec.grounding or spec.thinking not in (None, "off") or spec.include_thoughts or spec.edit_of:
            return False
        return not openai.chat.fields_lost(spec)

    def _path(self, spec: GenerationSpec) -> str:
        return openai.chat.REQUEST_PATH

    def _build(self, spec: GenerationSpec, brought: Brought) -> dict[str, Any]:
        return openai.chat.build_request(
            spec,
            upstream_model_id=self.upstream_model(spec),
            user_token=brought.user_token,
            styles=spec.styles,
            references=brought.references,
        )

    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        return openai.chat.parse_reply(answer.status, answer.headers, answer.read_body(), count=count)


class Images(WisGate):
    """The images API, for the models beside the native ones that the same key reaches."""

    name = "wisgate-images"
    protocol = "images"
    is_batching = True

    @classmethod
    def carries(cls, spec: GenerationSpec) -> bool:
        if spec.kind not in cls.kinds or spec.modalities != ("IMAGE",):
            return False
        return Chat.carries(spec) and not (spec.references or spec.styles or spec.native_fields())

    def _path(self, spec: GenerationSpec) -> str:
        return openai.images.REQUEST_PATH

    def _build(self, spec: GenerationSpec, brought: Brought) -> dict[str, Any]:
        route = self._route(spec)
        return openai.images.build_request(
            spec,
            upstream_model_id=route.upstream_id,
            dialect=openai.images.dialect_of(route.upstream_id),
            quality=route.quality or None,
            user_token=brought.user_token,
        )

    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        return openai.images.parse_reply(answer.status, answer.headers, answer.read_body(), count=count)
