"""The emulator as an ASGI application: authentication, routing, latency, faults."""

import asyncio
import hmac
import logging
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from generations.emulator.answers import Drawing, Plan, Reply, compose, json_reply, plan_answer
from generations.emulator.exchange import Exchange, Message
from generations.emulator.faults import Fault, draw_fault, fault_in_prompt, latency_in_prompt, too_large
from generations.emulator.offer import MODELS, Model
from generations.emulator.protocol import Refusal, not_found, parse_request, unauthenticated, unknown_model
from generations.emulator.record import Record
from generations.emulator.studio import StoredPicture, Studio

MAX_BODY_BYTES = 20 * 2**20
PARSE_IN_THREAD_BYTES = 2**18
METHODS = re.compile(r"/(v1|v1beta|v1alpha)/models/([^:]+):(\w+)")
LISTS = re.compile(r"/(v1|v1beta|v1alpha)/models(?:/(.+))?")

logger = logging.getLogger("emulator")


@dataclass(frozen=True)
class Options:
    """How the emulator behaves; latency_s is a range, rates are probabilities by fault name."""

    key: str
    latency_s: tuple[float, float] = (0.5, 0.5)
    rates: dict[str, float] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.SystemRandom)


class Emulator:
    """The ASGI application; it needs the Protocol of the exchange module."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._studio = Studio()
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
            self._authenticate(exchange)
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
        """Answer a request of the protocol; the outcome for the record: ok, text, left, a status or a fault's name."""
        try:
            body = await exchange.read_body(MAX_BODY_BYTES)
            self._authenticate(exchange)
            method = METHODS.fullmatch(exchange.path)
            if exchange.method == "POST" and method:
                return await self._generate(exchange, _model(*method.groups()), body)
            listing = LISTS.fullmatch(exchange.path)
            if exchange.method == "GET" and listing:
                await exchange.reply(_list_models(exchange, *listing.groups()))
                return "ok"
            raise not_found("Requested entity was not found.")
        except Refusal as refusal:
            await exchange.reply(json_reply(refusal.status, refusal.body))
            return str(refusal.status)

    async def _generate(self, exchange: Exchange, model: Model, body: bytes | None) -> str:
        if body is None:
            await exchange.reply(too_large())
            return "413"
        if len(body) > PARSE_IN_THREAD_BYTES:
            request = await asyncio.to_thread(parse_request, body, model)
        else:
            request = parse_request(body, model)
        occurrence = self._record.add_prompt(request.prompt)
        fault = fault_in_prompt(request.prompt, occurrence) or draw_fault(self._options.rates, self._options.rng)
        self._record.add_call(request, fault=fault.name if fault else None, request_id=exchange.request_id)
        plan = plan_answer(request)
        if not await self._perform(exchange, plan, fault):
            return "left"
        return fault.name if fault else "ok" if request.wants_image else "text"

    async def _perform(self, exchange: Exchange, plan: Plan, fault: Fault | None) -> bool:
        """Answer by the plan or by the fault, when the latency is over; False when the client left before that."""
        if fault and fault.change:
            fault.change(plan)
        conduct = fault.conduct if fault else None
        # Painting runs while the latency does, so that it costs the client nothing.
        preparing = None if conduct else asyncio.create_task(self._prepare(plan, fault))
        left = await exchange.client_left(within_s=self._rest_of_latency(exchange, plan.request.prompt, fault))
        if conduct and not left:
            await conduct(exchange)
        if preparing:
            reply = await preparing
            if not left:
                await exchange.reply(reply)
        return not left

    def _rest_of_latency(self, exchange: Exchange, prompt: str, fault: Fault | None) -> float:
        """Seconds until the answer is due; latency counts from the arrival."""
        latency = latency_in_prompt(prompt)
        if latency is None:
            latency = 0 if fault and fault.at_once else self._options.rng.uniform(*self._options.latency_s)
        return max(0.0, exchange.arrived + latency - asyncio.get_running_loop().time())

    async def _prepare(self, plan: Plan, fault: Fault | None) -> Reply:
        if fault and fault.reply:
            return fault.reply()
        pictures = await asyncio.gather(*(self._draw(drawing) for drawing in plan.drawings))
        return compose(plan, pictures)

    async def _draw(self, drawing: Drawing) -> StoredPicture | str:
        picture = await self._studio.picture(drawing.wish)
        if drawing.spoil is None and drawing.spell is None:
            return picture
        return await asyncio.to_thread(drawing.encode, picture)

    def _authenticate(self, exchange: Exchange) -> None:
        sent = exchange.headers.get("x-goog-api-key", "")
        if not hmac.compare_digest(sent.encode(), self._options.key.encode()):
            raise unauthenticated()


def _model(version: str, name: str, method: str) -> Model:
    if name not in MODELS or method != "generateContent":
        raise unknown_model(name, version, method)
    return MODELS[name]


def _list_models(exchange: Exchange, version: str, name: str | None) -> Reply:
    """GET models, in pages, or GET models/{name}."""
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
    method, listing = METHODS.fullmatch(path), LISTS.fullmatch(path)
    if method:
        return path if method[2] in MODELS and method[3] == "generateContent" else "other"
    return path if listing and (listing[2] is None or listing[2] in MODELS) else "other"
