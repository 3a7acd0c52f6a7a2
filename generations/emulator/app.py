"""The emulator as an ASGI application: authentication, routing, evidence."""

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qs

from generations.emulator import openai
from generations.emulator.answers import Reply, json_reply, plan_answer
from generations.emulator.chat import Chat, parse_chat
from generations.emulator.delivery import Delivery, Options, in_array
from generations.emulator.dialect import Dialect
from generations.emulator.exchange import Exchange, Message
from generations.emulator.faults import draw_fault, fault_in_prompt, form_in_prompt, too_large
from generations.emulator.hosting import PREFIX, Hosting
from generations.emulator.images import Images, add_drafts, parse_images
from generations.emulator.native import Native
from generations.emulator.offer import METHODS, MODELS, Model
from generations.emulator.order import Order, Refusal
from generations.emulator.protocol import count_tokens, not_found, parse_request, unauthenticated, unknown_model
from generations.emulator.record import Record

MAX_BODY_BYTES = 20 * 2**20
PARSE_IN_THREAD_BYTES = 2**18
CALLS = re.compile(r"/(v1|v1beta|v1alpha)/models/([^:]+):(\w+)")
LISTS = re.compile(r"/(v1|v1beta|v1alpha)/models(?:/(.+))?")
CHAT_PATH, IMAGES_PATH = "/v1/chat/completions", "/v1/images/generations"
NATIVE, CHAT, IMAGES = Native(), Chat(), Images()

logger = logging.getLogger("emulator")


class Emulator:
    """The ASGI application; it needs the Protocol of the exchange module."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._hosting = Hosting()
        self._delivery = Delivery(options, self._hosting)
        self._record = Record()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            if exchange.path.startswith("/__emulator__/"):
                await self._answer_inspection(exchange)
            else:
                await self._answer_counted(exchange)
        finally:
            exchange.end()

    async def _answer_inspection(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.query)
        try:
            self._check_google_key(exchange)
            if exchange.path == "/__emulator__/stats":
                reply = json_reply(200, self._record.stats())
            elif exchange.path == "/__emulator__/calls":
                reply = json_reply(200, self._record.calls(query.get("prompt_sha256", [None])[0]))
            else:
                raise not_found("Requested entity was not found.")
        except Refusal as refusal:
            reply = json_reply(refusal.status, refusal.body)
        await exchange.reply(reply)

    async def _answer_counted(self, exchange: Exchange) -> None:
        self._record.begin(_countable(exchange.path))
        outcome = "failed"
        try:
            outcome = await self._answer(exchange)
        finally:
            self._record.end(outcome)
            logger.info("%s %s %s %s", exchange.request_id, exchange.method, exchange.path, outcome)

    async def _answer(self, exchange: Exchange) -> str:
        """Answer a request of a protocol; the outcome for the record: ok, text, left, a status or a fault's name."""
        call = CALLS.fullmatch(exchange.path)
        listed = call is not None and call[3] == "streamGenerateContent" and not _wants_events(exchange)
        try:
            body = await exchange.read_body(MAX_BODY_BYTES)
            if exchange.method == "GET" and exchange.path.startswith(PREFIX):
                return await self._answer_hosted(exchange)
            self._authenticate(exchange)
            if exchange.method == "POST" and exchange.path == CHAT_PATH:
                return await self._generate(exchange, CHAT, body, parse_chat)
            if exchange.method == "POST" and exchange.path == IMAGES_PATH:
                return await self._generate(exchange, IMAGES, body, parse_images)
            if exchange.method == "POST" and call:
                return await self._call_native(exchange, body, *call.groups(), as_array=listed)
            listing = LISTS.fullmatch(exchange.path)
            if exchange.method == "GET" and listing:
                await exchange.reply(_list_models(exchange, *listing.groups()))
                return "ok"
            raise not_found("Requested entity was not found.")
        except Refusal as refusal:
            reply = json_reply(refusal.status, refusal.body)
            await exchange.reply(in_array(reply) if listed else reply)
            return str(refusal.status)

    async def _call_native(
        self, exchange: Exchange, body: bytes | None, version: str, name: str, method: str, *, as_array: bool
    ) -> str:
        model = _model(version, name, method)
        if method == "countTokens" and body is not None:
            await exchange.reply(json_reply(200, count_tokens(body, model)))
            return "ok"
        streamed = method == "streamGenerateContent"

        def parse(body: bytes) -> Order:
            return replace(parse_request(body, model, streamed=streamed), as_array=as_array)

        return await self._generate(exchange, NATIVE, body, parse)

    async def _generate(
        self, exchange: Exchange, dialect: Dialect, body: bytes | None, parse: Callable[[bytes], Order]
    ) -> str:
        if body is None:
            await exchange.reply(too_large())
            return "413"
        order = await asyncio.to_thread(parse, body) if len(body) > PARSE_IN_THREAD_BYTES else parse(body)
        order = replace(order, form=form_in_prompt(order.prompt, dialect))
        if dialect is IMAGES and order.form:
            order = replace(order, by_address=True)
        occurrence = self._record.add_prompt(order.prompt)
        order = replace(order, sample=occurrence - 1)
        fault = fault_in_prompt(order.prompt, occurrence, dialect)
        fault = fault or draw_fault(self._options.rates, self._options.rng, dialect)
        self._record.add_call(order, fault=fault.name if fault else None, request_id=exchange.request_id)
        plan = plan_answer(order)
        if order.partial_images:
            add_drafts(plan)
        if fault and fault.change:
            fault.change(plan)
        if not await self._delivery.deliver(exchange, dialect, plan, fault):
            return "left"
        return fault.name if fault else "ok" if order.wants_image else "text"

    async def _answer_hosted(self, exchange: Exchange) -> str:
        found = self._hosting.find(exchange.path)
        if found is None:
            raise not_found("Requested entity was not found.")
        data, mime_type = found
        await exchange.reply(Reply(200, (data,), mime_type))
        return "ok"

    def _authenticate(self, exchange: Exchange) -> None:
        if not _speaks_openai(exchange):
            self._check_google_key(exchange)
        elif not self._is_key(openai.sent_key(exchange.headers.get("authorization", ""))):
            raise openai.unauthenticated()

    def _check_google_key(self, exchange: Exchange) -> None:
        if not self._is_key(exchange.headers.get("x-goog-api-key", "")):
            raise unauthenticated()

    def _is_key(self, sent: str) -> bool:
        return hmac.compare_digest(sent.encode(), self._options.key.encode())


def _speaks_openai(exchange: Exchange) -> bool:
    """Which of the two families: by the path, and where both share one by the header of the key."""
    if exchange.path in (CHAT_PATH, IMAGES_PATH):
        return True
    shared = exchange.path.startswith("/v1/models") and not CALLS.fullmatch(exchange.path)
    return shared and "authorization" in exchange.headers and "x-goog-api-key" not in exchange.headers


def _wants_events(exchange: Exchange) -> bool:
    return parse_qs(exchange.query).get("alt") == ["sse"]


def _model(version: str, name: str, method: str) -> Model:
    if name not in MODELS or method not in METHODS:
        raise unknown_model(name, version, method)
    return MODELS[name]


def _list_models(exchange: Exchange, version: str, name: str | None) -> Reply:
    """GET models, in pages, or GET models/{name}."""
    if _speaks_openai(exchange):
        return openai.list_models(name)
    if name is not None:
        if name not in MODELS:
            raise not_found(f"Model is not found: models/{name} for api version {version}")
        return json_reply(200, MODELS[name].as_json())
    query = parse_qs(exchange.query)
    start, size = (_number(query.get(key, [""])[0], default) for key, default in (("pageToken", 0), ("pageSize", 50)))
    models = [model.as_json() for model in MODELS.values()]
    end = start + max(1, size)
    page: dict = {"models": models[start:end]}
    if end < len(models):
        page["nextPageToken"] = str(end)
    return json_reply(200, page)


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def _countable(path: str) -> str:
    """The path, if it is one of a known few: the record must not grow with every address that somebody tries."""
    if path in (CHAT_PATH, IMAGES_PATH):
        return path
    call, listing = CALLS.fullmatch(path), LISTS.fullmatch(path)
    if call:
        return path if call[2] in MODELS and call[3] in METHODS else "other"
    return path if listing and (listing[2] is None or listing[2] in MODELS) else "other"
