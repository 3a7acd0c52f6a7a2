"""How an answer goes out: in its time, whole or as a stream, with the pictures painted while the latency runs."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace

import orjson

from generations.emulator.answers import (
    EVENT_TYPE,
    JSON_TYPE,
    Drawing,
    Drawn,
    Marks,
    Plan,
    Reply,
    json_reply,
    pieces,
)
from generations.emulator.dialect import Dialect, Event
from generations.emulator.exchange import Exchange
from generations.emulator.faults import Fault, latency_in_prompt
from generations.emulator.forms import WITH_ADDRESS
from generations.emulator.hosting import Hosting
from generations.emulator.signature import sign
from generations.emulator.studio import StoredPicture, Studio

TEXT_PIECE = 24  # characters of a text in one event of a stream
NOISE = b": keep-alive\n\nevent: message\nid: 1\nretry: 1000\n"


@dataclass(frozen=True)
class Options:
    """How the emulator behaves; latency_s is a range, rates are probabilities by fault name."""

    key: str
    latency_s: tuple[float, float] = (0.5, 0.5)
    rates: dict[str, float] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.SystemRandom)


class Delivery:
    """Paints and sends; one for all requests."""

    def __init__(self, options: Options, hosting: Hosting) -> None:
        self._options = options
        self._studio = Studio()
        self._hosting = hosting

    async def deliver(self, exchange: Exchange, dialect: Dialect, plan: Plan, fault: Fault | None) -> bool:
        """Answer by the plan or by the fault; False when the client left before the answer was due."""
        latency = self._choose_latency(plan, fault)
        if fault and fault.conduct:
            if await _left_before(exchange, latency):
                return False
            await fault.conduct(exchange, dialect, plan.order.streamed)
            return True
        marks = Marks()
        status, value = dialect.answer(plan, marks)
        if plan.order.streamed and status == 200 and not (fault and fault.reply):
            return await self._stream(exchange, dialect, plan, marks, latency)
        preparing = asyncio.create_task(self._prepare(exchange, dialect, plan, fault, marks, status, value))
        left = await _left_before(exchange, latency)
        reply = await preparing
        if not left:
            await exchange.reply(reply)
        return not left

    def _choose_latency(self, plan: Plan, fault: Fault | None) -> float:
        """Seconds from the arrival of a request to the end of its answer."""
        asked = latency_in_prompt(plan.order.prompt)
        if asked is not None:
            return asked
        return 0 if fault and fault.at_once else self._options.rng.uniform(*self._options.latency_s)

    async def _prepare(
        self,
        exchange: Exchange,
        dialect: Dialect,
        plan: Plan,
        fault: Fault | None,
        marks: Marks,
        status: int,
        value: object,
    ) -> Reply:
        """The whole answer."""
        if fault and fault.reply:
            return in_array(fault.reply(dialect)) if plan.order.as_array else fault.reply(dialect)
        if plan.breaks_off:
            return replace(dialect.error(503), status=200)
        if status != 200:
            return json_reply(status, value)
        text = orjson.dumps(plan.rewrite(value, dialect.results) if plan.rewrite else value)
        tasks = self._start_drawing(exchange, plan)
        drawn = {index: await task for index, task in tasks.items()}
        return Reply(status, (*([b"\n \n"] if plan.noise else []), *marks.fill(text, drawn)))

    async def _stream(self, exchange: Exchange, dialect: Dialect, plan: Plan, marks: Marks, latency: float) -> bool:
        """Send the events, each when it is due and its pictures are painted."""
        tasks = self._start_drawing(exchange, plan)
        started = False
        for number, event in enumerate(dialect.events(plan, marks)):
            if plan.breaks_off and event.due >= 1:
                break
            if await _left_before(exchange, latency * event.due):
                return False
            if not started:
                await exchange.start(200, JSON_TYPE if plan.order.as_array else EVENT_TYPE)
                started = True
            async for value in self._values(dialect, plan, marks, event, tasks):
                for block in _frame(value, event, dialect, plan, first=number == 0):
                    await exchange.write(block)
        if plan.breaks_off:
            return await _break_off(exchange, dialect, plan, latency, started=started)
        if not started:
            await exchange.start(200, JSON_TYPE if plan.order.as_array else EVENT_TYPE)
        end = b"]" if plan.order.as_array else b"" if plan.finish_reason is None else dialect.farewell
        await exchange.write(end, last=True)
        return True

    async def _values(
        self,
        dialect: Dialect,
        plan: Plan,
        marks: Marks,
        event: Event,
        tasks: Mapping[int, "asyncio.Task[Drawn]"],
    ) -> AsyncIterator[tuple[bytes | StoredPicture, ...]]:
        """The JSON values of an event, one or (for a text that is cut) many."""

        def dump(value: object) -> bytes:
            return orjson.dumps(plan.rewrite(value, dialect.results) if plan.rewrite else value)

        text = event.value.encode() if event.wrap else dump(event.value)
        drawn = {index: await tasks[index] for index in marks.drawings_in(text)}
        if event.wrap is None:
            yield marks.fill(text, drawn)
            return
        for part in marks.fill(text, drawn):
            if isinstance(part, bytes):
                words = part.decode()
                cuts = [words[at : at + TEXT_PIECE] for at in range(0, len(words), TEXT_PIECE)]
                for piece in cuts if len(words) < 2**16 else [words]:
                    yield (dump(event.wrap(piece)),)
            else:
                for block in part.blocks():
                    yield (dump(event.wrap(base64.b64encode(block).decode())),)

    def _start_drawing(self, exchange: Exchange, plan: Plan) -> "dict[int, asyncio.Task[Drawn]]":
        hosted = plan.order.by_address or plan.order.form in WITH_ADDRESS
        host = f"http://{exchange.headers.get('host', 'localhost')}" if hosted else ""
        return {index: asyncio.create_task(self._draw(drawing, host)) for index, drawing in enumerate(plan.drawings)}

    async def _draw(self, drawing: Drawing, host: str) -> Drawn:
        picture = await self._studio.picture(drawing.wish)
        content: bytes | StoredPicture = picture
        if drawing.spoil or drawing.spell:
            content = await asyncio.to_thread(drawing.encode, picture)
        address = ""
        if host:
            kept = await asyncio.to_thread(drawing.bytes_of, picture) if drawing.spoil else picture
            address = host + self._hosting.keep(kept, drawing.mime_type)
        return Drawn(content, base64.b64encode(sign(picture.sha256)).decode(), address)


async def _left_before(exchange: Exchange, latency: float) -> bool:
    """Wait until so many seconds after the arrival; has the client gone?"""
    return await exchange.client_left(within_s=max(0.0, exchange.arrived + latency - asyncio.get_running_loop().time()))


async def _break_off(exchange: Exchange, dialect: Dialect, plan: Plan, latency: float, *, started: bool) -> bool:
    """An error event, then the end of the connection."""
    if await _left_before(exchange, latency):
        return False
    if not started:
        await exchange.start(200, EVENT_TYPE)
    error = b"".join(block for part in dialect.error(503).body for block in pieces(part))
    await exchange.write(b",\r\n" + error if plan.order.as_array else b"data: " + error + b"\n\n")
    await exchange.hang_up()
    return True


def _frame(
    value: tuple[bytes | StoredPicture, ...], event: Event, dialect: Dialect, plan: Plan, *, first: bool
) -> Iterator[bytes]:
    """One value as the protocol puts it into a stream, in pieces."""
    if plan.order.as_array:
        before, after = b"[" if first else b",\r\n", b""
    else:
        before = b"data: " if not event.name else f"event: {event.name}\ndata: ".encode()
        after = b"\r\n\r\n" if dialect.name == "native" else b"\n\n"
        if plan.noise:
            before = NOISE + before
    yield before
    for part in value:
        yield from pieces(part)
    yield after


def in_array(reply: Reply) -> Reply:
    """An error where a list of answers was asked for: the only entry of that list."""
    return (
        replace(reply, body=(b"[", *reply.body, b"]"))
        if reply.status >= 400 and reply.content_type == JSON_TYPE
        else reply
    )
