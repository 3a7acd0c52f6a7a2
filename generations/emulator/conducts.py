"""What an upstream can do to a connection instead of answering; each knows its protocol and whether it streams."""

from collections.abc import Awaitable, Callable

from generations.emulator.answers import EVENT_TYPE, JSON_TYPE
from generations.emulator.dialect import Dialect
from generations.emulator.exchange import Exchange

DRIP_S = 0.25
HUGE_BODY_BLOCKS = 128  # of 1 MiB

Conduct = Callable[[Exchange, Dialect, bool], Awaitable[None]]


async def hang(exchange: Exchange, dialect: Dialect, streamed: bool) -> None:
    await exchange.client_left()


async def slow_drip(exchange: Exchange, dialect: Dialect, streamed: bool) -> None:
    await exchange.start(200, _content_type(streamed))
    while not await exchange.client_left(within_s=DRIP_S):
        await exchange.write(b"\n" if streamed else b" ")


async def hangup_before(exchange: Exchange, dialect: Dialect, streamed: bool) -> None:
    await exchange.hang_up()


async def hangup_mid(exchange: Exchange, dialect: Dialect, streamed: bool) -> None:
    length = () if streamed else (("content-length", str(2**20)),)
    await exchange.start(200, _content_type(streamed), length)
    await exchange.write(_opening(dialect, streamed) + b"A" * 2**16)
    await exchange.hang_up()


async def huge_body(exchange: Exchange, dialect: Dialect, streamed: bool) -> None:
    await exchange.start(200, _content_type(streamed))
    await exchange.write(_opening(dialect, streamed))
    for _ in range(HUGE_BODY_BLOCKS):
        if await exchange.client_left(within_s=0):
            return
        await exchange.write(b"A" * 2**20)
    await exchange.write(b'"}}]}}]}', last=True)


def _content_type(streamed: bool) -> str:
    return EVENT_TYPE if streamed else JSON_TYPE


def _opening(dialect: Dialect, streamed: bool) -> bytes:
    return b"data: " + dialect.opening if streamed else dialect.opening
