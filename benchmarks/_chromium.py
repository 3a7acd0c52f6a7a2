"""A Chromium that is driven over its pipe, so that nothing is switched on in it but what a measurement asks for.

Playwright watches the network of every page, for which Chromium keeps the bytes of every answer in the page's process.
"""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
SWITCHES = "--headless --no-sandbox --no-first-run --remote-debugging-pipe --hide-scrollbars --disable-dev-shm-usage"


class Tab:
    """One page; `call` is a command of the DevTools protocol, `ask` the value of an expression in the page."""

    def __init__(self, width: int, height: int) -> None:
        name = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if not name:
            raise SystemExit("no Chromium was found (CHROMIUM names one)")
        self._profile = tempfile.TemporaryDirectory()
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self.process = subprocess.Popen(
            [
                *("/bin/sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh"),  # the two that Chromium looks at
                *(name, *SWITCHES.split(), f"--user-data-dir={self._profile.name}"),
                *(f"--window-size={width},{height}", "about:blank"),
            ],
            pass_fds=[theirs_in, theirs_out],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def call(self, method: str, *, of_browser: bool = False, **params: object) -> Any:
        """The result of a command to the page, or to the browser; raises RuntimeError with what Chromium says."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session and not of_browser:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self) -> Any:
        while b"\0" not in self._buffer:
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium has ended.")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; raises RuntimeError when it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Until an expression is true; raises RuntimeError after PATIENCE_S."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if self.ask(f"Boolean({expression})"):
                    return
            except RuntimeError:  # between two pages
                pass
            time.sleep(0.05)
        raise RuntimeError(f"This never came true: {expression}")

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    def own_mib(self) -> float:
        """The memory of the page's process that is no file's (RssAnon)."""
        processes = self.call("SystemInfo.getProcessInfo", of_browser=True)["processInfo"]
        kib = [_own_kib(each["id"]) for each in processes if each["type"] == "renderer"]
        return max(kib) / 1024


def _own_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


@contextmanager
def opened_tab(*, width: int, height: int) -> Iterator[Tab]:
    tab = Tab(width, height)
    try:
        yield tab
    finally:
        tab.close()
