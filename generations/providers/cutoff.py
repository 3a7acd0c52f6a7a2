"""The end of a whole call: at its deadline the socket is shut down, whatever an upstream is dripping through it.

A timeout of requests counts anew with each byte that comes: a head that arrives a byte a second would never end.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

MARGIN_S = 0.05  # so that whoever finds an end that was cut finds that the deadline has passed too


class _Cutter:
    """Shuts one socket down, once it is time and the socket is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_time = False

    def watch(self, connected: socket.socket | None) -> None:
        with self._lock:
            self._socket = connected
            self._cut_if_due()

    def cut(self) -> None:
        with self._lock:
            self._is_time = True
            self._cut_if_due()

    def _cut_if_due(self) -> None:
        if not self._is_time or self._socket is None:
            return
        try:
            # Below TLS, whose own shutdown would change the object that another thread is reading from.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:  # closed already
            pass


_call = threading.local()  # every call opens its own connection, in the thread that makes the call


@contextmanager
def cut_off_after(seconds: float) -> Iterator[None]:
    """End the one call that is made inside when the time is up; what reads or writes then fails or finds the end."""
    cutter = _Cutter()
    timer = threading.Timer(seconds + MARGIN_S, cutter.cut)
    timer.daemon = True
    timer.start()
    _call.cutter = cutter
    try:
        yield
    finally:
        timer.cancel()
        _call.cutter = None


def _watch(connected: socket.socket | None) -> None:
    cutter: _Cutter | None = getattr(_call, "cutter", None)
    if cutter is not None:
        cutter.watch(connected)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class CutoffAdapter(HTTPAdapter):
    """The adapter of requests, with connections that `cut_off_after` can end; through a proxy too."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        _use_pools(manager)
        return manager


def _use_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
