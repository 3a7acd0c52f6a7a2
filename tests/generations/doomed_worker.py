"""A worker that kills itself with SIGKILL at a named step: python -m tests.generations.doomed_worker POINT PK CALLS

Run by test_kill9.py in a process of its own. CALLS is a file that gets one byte for each paid call.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import django

django.setup()

from accounts import ledger  # noqa: E402
from accounts.models import User  # noqa: E402
from gallery import services as gallery  # noqa: E402
from generations import interim, leases, pipeline, services, settlement, tasks  # noqa: E402
from generations.providers import answer  # noqa: E402
from generations.spec import GenerationSpec  # noqa: E402
from generations.wire.gemini import Piece  # noqa: E402
from tests.generations.fakes import ScriptedProvider  # noqa: E402


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after_one(function: Any) -> Any:
    """The function for its first call, and the end for the second."""
    calls: list[None] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        if calls:
            die()
        calls.append(None)
        return function(*args, **kwargs)

    return call


def after_it(function: Any) -> Any:
    """The function, and then the end."""

    def call(*args: Any, **kwargs: Any) -> Any:
        function(*args, **kwargs)
        die()

    return call


class CountingProvider(ScriptedProvider):
    def __init__(self, calls_file: Path, *, is_deadly: bool = False, is_endless: bool = False) -> None:
        super().__init__()
        self.is_endless = is_endless
        self.calls_file = calls_file
        self.is_deadly = is_deadly

    def send(self, *args: Any, **kwargs: Any) -> Any:
        with self.calls_file.open("ab") as file:
            file.write(b".")
        if self.is_deadly:
            die()
        if self.is_endless:  # a stream of which only the beginning ever comes
            kwargs["on_piece"](Piece("thought", text="First a fox. "))
            threading.Event().wait()
        return super().send(*args, **kwargs)


# The steps of DESIGN 4 in their order, and what dies first when the process ends there.
POINTS = {
    "after submit, before the message": (tasks.run_generation, "apply_async"),
    "after claim": (pipeline, "execute"),
    "after sent, before the call": (pipeline, "_call"),
    "during the call": (None, ""),
    "mid-stream": (interim.Interim, "_write"),
    "before the spool file is renamed": (answer.os, "replace"),
    "after the spool file is renamed": (pipeline, "_read"),
    "before the picture is stored": (gallery, "keep_picture"),
    "after the picture is stored": (settlement, "conclude_attempt"),
    "after the call is concluded": (settlement, "succeed"),
    "inside the settling transaction": (ledger, "capture"),
    "after the settling transaction": (leases, "release_all"),
    "between the first and the second of three": (settlement, "conclude_attempt"),
}


def main(point: str, generation_pk: str, calls: str) -> None:
    target, name = POINTS[point]
    provider = CountingProvider(Path(calls), is_deadly=target is None, is_endless=point == "mid-stream")
    pipeline.providers_for = lambda spec: (provider,)
    if target is not None:
        function = getattr(target, name)
        ends = {"between": after_one, "mid-stream": after_it}
        end = next((end for words, end in ends.items() if point.startswith(words)), None)
        setattr(target, name, end(function) if end else die)
    if target is tasks.run_generation:
        spec = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
        services.submit(user=User.objects.get(email="alice@example.com"), spec=spec, source="rest")
    else:
        tasks.run_generation.run(int(generation_pk))
    leases.release_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
