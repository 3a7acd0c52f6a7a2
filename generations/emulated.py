"""An emulator for as long as one command runs, when no upstream key is set and none is running already."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

START_S = 20.0


@contextmanager
def emulator_if_needed() -> Iterator[None]:
    """Point the settings of this process at an emulator of its own. Raises RuntimeError when it does not start."""
    if not settings.EMULATOR or settings.EMULATOR_URL:
        yield
        return
    key = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="plantain-emulator-") as directory:
        port_file = Path(directory) / "port"
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "generations.emulator", "--port", "0", "--port-file", str(port_file)],
            env={**os.environ, "EMULATOR_KEY": key},
            cwd=settings.BASE_DIR,
        )
        try:
            port = _wait_for_port(process, port_file)
            settings.EMULATOR_URL, settings.EMULATOR_KEY = f"http://127.0.0.1:{port}/v1beta", key
            yield
        finally:
            settings.EMULATOR_URL = settings.EMULATOR_KEY = ""
            process.terminate()
            process.wait()


def _wait_for_port(process: "subprocess.Popen[bytes]", port_file: Path) -> int:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists():
            return int(port_file.read_text())
        time.sleep(0.05)
    raise RuntimeError("The emulator did not start.")
