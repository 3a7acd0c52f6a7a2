"""Processes: commands of the shell, a worker without a web server, and an orderly end."""

import io
import json
import re
import signal
import subprocess
import sys
import time
import uuid

import pytest
import requests
from django.conf import settings
from PIL import Image

from tests.contract import live as living
from tests.contract.test_live_rest import calls_for


def test_generate_makes_one_picture_that_its_owner_pays(live, tmp_path):
    session = live.account(credit="1.00")
    target = tmp_path / "fox.png"
    printed = live.manage(
        *("generate", f"a fox {uuid.uuid4()}", "--size", "0.5K", "--ratio", "16:9"),
        *("--out", str(target), "--email", session.email),
    )
    assert printed == str(target)
    assert Image.open(target).size == (688, 384)
    newest = session.get(f"{live.api}/generations").json()["results"][0]
    assert (newest["source"], newest["cost"]["charged"]) == ("cli", "0.058000")


def test_generate_says_what_is_wrong_and_charges_nothing(live):
    session = live.account(credit="1.00")
    assert live.manage("generate", "a fox", "--size", "9K", "--email", session.email, ok=False) == ""
    assert live.manage("generate", "[fault:blocked_prompt] x", "--email", session.email, ok=False) == ""
    assert session.get(f"{live.api}/account").json()["balance"]["available"] == "1.000000"


def test_probeupstream_saves_a_picture_and_prints_its_figures(live, tmp_path):
    printed = live.manage("probeupstream", "--out", str(tmp_path / "probe.png"))
    figures = dict(line.split(": ", 1) for line in printed.splitlines())
    assert figures["pixels"] == "512x512"
    assert figures["price_usd"] == "0.058000"
    assert int(figures["bytes"]) == (tmp_path / "probe.png").stat().st_size
    assert figures["request_id"] != "-"


def test_sweep_prints_what_it_found(live):
    assert json.loads(live.manage("sweep"))["holds_released"] == 0


def test_the_database_holds_no_secret_and_no_picture(live):
    session = live.account()
    wish = {"prompt": f"a fox {uuid.uuid4()}", "modalities": ["TEXT", "IMAGE"]}
    assert session.post(f"{live.api}/generations", json=wish, headers={"Prefer": "wait=30"}).status_code == 200
    dump = live.manage("dumpdata", "--exclude", "generations.output")  # its signatures are bytes, not text
    assert live.env["EMULATOR_KEY"] not in dump
    assert session.headers["Authorization"].removeprefix("Bearer ") not in dump
    assert re.search(r"[A-Za-z0-9+/]{200,}", dump) is None


@pytest.fixture
def own(tmp_path):
    """An instance that a test may end as it likes."""
    with living.instance(tmp_path) as instance:
        yield instance


def status_of(live, session):
    return session.get(f"{live.api}/generations").json()["results"][0]["status"]


def test_sigterm_lets_a_picture_that_is_being_painted_be_finished(own):
    session = own.account()
    wish = f"[latency:3] {uuid.uuid4()}"
    session.post(f"{own.api}/generations", json={"prompt": wish})
    while calls_for(own, wish) == 0:
        time.sleep(0.05)
    own.web.send_signal(signal.SIGTERM)
    assert own.web.wait(timeout=60) in (0, -signal.SIGTERM)  # uvicorn ends with the signal that it was sent
    own.start_web()
    assert status_of(own, session) == "succeeded"
    assert calls_for(own, wish) == 1


def test_a_worker_without_a_web_server_takes_what_was_queued(own):
    session = own.account()
    own.web.send_signal(signal.SIGTERM)
    own.web.wait(timeout=60)
    own.manage(
        *("shell", "--no-imports", "-c"),
        "from accounts.models import User\n"
        "from generations import services\n"
        "from generations.spec import GenerationSpec\n"
        f"user = User.objects.get(email={session.email!r})\n"
        "spec = GenerationSpec.parse({'prompt': 'a fox'}, default_image_size='0.5K')\n"
        "services.submit(user=user, spec=spec, source='rest')",
    )
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "runworker", "--lanes", "2"],
        env=own.env,
        cwd=settings.BASE_DIR,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        count = "from generations.models import *; print(Generation.objects.filter(status='succeeded').count())"
        while own.manage("shell", "--no-imports", "-c", count) != "1":
            assert time.monotonic() < deadline
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    own.start_web()
    picture = session.get(session.get(f"{own.api}/generations").json()["results"][0]["images"][0]["url"])
    assert Image.open(io.BytesIO(picture.content)).size == (512, 512)
    assert requests.get(f"{own.url}/readyz", timeout=10).json()["status"] == "ok"
