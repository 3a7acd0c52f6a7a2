"""The REST surface of a running instance, driven from outside with a real client."""

import hashlib
import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

WAIT = {"Prefer": "wait=30"}


@pytest.fixture(scope="module")
def payer(live):
    """One account for the many tests that look only at what their own wish has changed."""
    return live.account(credit="100.00")


def balance(session, live):
    return session.get(f"{live.api}/account").json()["balance"]


def spent_micros(session, live):
    return round(float(balance(session, live)["spent"]) * 1_000_000)


def prompt(text=""):
    """A prompt that no other test uses, so that the emulator's counts are this test's."""
    return f"{text} {uuid.uuid4()}".strip()


def calls_for(live, text):
    return live.stats()["prompts"].get(hashlib.sha256(text.encode()).hexdigest(), 0)


def test_a_picture_by_rest_from_the_wish_to_the_bytes(live):
    session = live.account(credit="1.00")
    wish = prompt("a lighthouse at dusk")
    answer = session.post(f"{live.api}/generations", json={"prompt": wish, "aspect_ratio": "16:9"}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    generation = answer.json()
    assert generation["status"] == "succeeded"
    assert generation["cost"] == {"quoted": "0.058000", "held": "0.000000", "charged": "0.058000", "currency": "USD"}
    image = generation["images"][0]
    assert (image["width"], image["height"]) == (1376, 768)
    assert image["honoured"] == {"aspect_ratio": True, "image_size": True}

    original = session.get(image["url"])
    assert original.status_code == 200
    assert hashlib.sha256(original.content).hexdigest() == image["sha256"]
    assert Image.open(io.BytesIO(original.content)).size == (1376, 768)
    small = session.get(image["thumbnails"]["320"])
    assert Image.open(io.BytesIO(small.content)).size[0] == 320
    assert balance(session, live) == {
        "available": "0.942000",
        "held": "0.000000",
        "spent": "0.058000",
        "currency": "USD",
    }
    assert calls_for(live, wish) == 1


def test_without_prefer_the_answer_is_202_and_a_location(live, payer):
    answer = payer.post(f"{live.api}/generations", json={"prompt": prompt()})
    assert answer.status_code == 202
    assert payer.get(answer.headers["Location"]).json()["id"] == answer.json()["id"]


def test_prefer_wait_that_is_too_short_answers_202(live, payer):
    answer = payer.post(f"{live.api}/generations", json={"prompt": prompt("[latency:3]")}, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "running"


def test_the_same_key_twice_is_one_picture(live):
    session = live.account()
    wish, headers = {"prompt": prompt()}, {"Idempotency-Key": str(uuid.uuid4()), **WAIT}
    first = session.post(f"{live.api}/generations", json=wish, headers=headers)
    second = session.post(f"{live.api}/generations", json=wish, headers=headers)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json()["id"] == first.json()["id"]
    assert calls_for(live, wish["prompt"]) == 1
    assert balance(session, live)["spent"] == "0.058000"


def test_64_posts_with_one_key_are_one_job_and_one_call(live):
    session = live.account()
    wish, headers = {"prompt": prompt()}, {"Idempotency-Key": str(uuid.uuid4()), **session.headers, **WAIT}
    with ThreadPoolExecutor(64) as pool:
        answers = list(
            pool.map(
                lambda _: requests.post(f"{live.api}/generations", json=wish, headers=headers, timeout=60), range(64)
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert calls_for(live, wish["prompt"]) == 1
    assert balance(session, live)["spent"] == "0.058000"


def test_the_event_stream_tells_the_whole_story(live, payer):
    generation = payer.post(f"{live.api}/generations", json={"prompt": prompt("[latency:1]")}).json()
    with payer.get(generation["links"]["events"], stream=True, headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines(decode_unicode=True) if line]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    versions = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert names[-2:] == ["output", "succeeded"]
    assert set(names[:-2]) <= {"queued", "running", "progress"}
    assert versions == sorted(versions)
    last = json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))
    assert last["status"] == "succeeded"
    assert last["cost"]["charged"] == "0.058000"


def test_a_stream_goes_on_after_the_last_event_that_was_seen(live, payer):
    generation = payer.post(f"{live.api}/generations", json={"prompt": prompt()}, headers=WAIT).json()
    again = payer.get(generation["links"]["events"], headers={"Last-Event-ID": str(generation["version"] - 1)})
    assert [line for line in again.text.splitlines() if line.startswith("event: ")] == ["event: succeeded"]
    seen = payer.get(generation["links"]["events"], headers={"Last-Event-ID": str(generation["version"])})
    assert "event:" not in seen.text


def test_nobody_else_sees_any_of_it(live):
    alice, mallory = live.account(), live.account()
    generation = alice.post(f"{live.api}/generations", json={"prompt": prompt()}, headers=WAIT).json()
    image = generation["images"][0]
    for path in (generation["links"]["self"], generation["links"]["events"], image["url"], image["thumbnails"]["320"]):
        assert mallory.get(path).status_code == 404, path
        assert requests.get(path, timeout=10).status_code == 401, path
    assert mallory.post(f"{generation['links']['cancel']}").status_code == 404
    assert mallory.get(f"{live.api}/generations").json()["results"] == []
    assert mallory.get(f"{live.api}/images").json()["results"] == []


# name of the emulator's fault -> (outcomes of the attempts, error code)
FAULTS = {
    "blocked_prompt": (["blocked"], "blocked"),
    "image_safety": (["blocked"], "blocked"),
    "prohibited": (["blocked"], "blocked"),
    "recitation": (["refused"], "refused"),
    "text_only": (["text_only"], "text_only"),
    "no_image": (["no_image"] * 2, "no_image"),
    "empty_parts": (["no_image"] * 2, "no_image"),
    "empty_candidates": (["no_image"] * 2, "no_image"),
    "null_candidates": (["no_image"] * 2, "no_image"),
    "unknown_finish": (["no_image"] * 2, "no_image"),
    "max_tokens": (["cut_short"], "cut_short"),
    "truncated_b64": (["truncated"] * 2, "truncated"),
    "truncated_png": (["truncated"] * 2, "truncated"),
    "not_an_image": (["not_an_image"], "not_an_image"),
    "svg": (["not_an_image"], "not_an_image"),
    "huge_dimensions": (["too_large"], "too_large"),
    "huge_body": (["too_large"], "too_large"),
    "gzip_bomb": (["too_large"], "too_large"),
    "empty_body": (["malformed"] * 2, "malformed"),
    "not_json": (["malformed"] * 2, "malformed"),
    "json_list": (["malformed"] * 2, "malformed"),
    "deep_json": (["malformed"] * 2, "malformed"),
    "400": (["invalid"], "invalid"),
    "404": (["invalid"], "invalid"),
    "413": (["invalid"], "invalid"),
    # The other protocol is asked as well: nothing was bought, and its door may take the key.
    "401": (["auth", "auth"], "auth"),
    "403": (["auth", "auth"], "auth"),
    "302": (["redirected"], "redirected"),
    "500": (["unknown"] * 2, "unknown"),
    "502": (["unknown"] * 2, "unknown"),
    "504": (["unknown"] * 2, "unknown"),
    "hangup_before": (["unknown"] * 2, "unknown"),
    "hangup_mid": (["unknown"] * 2, "unknown"),
}


@pytest.mark.parametrize(("fault", "outcomes", "code"), [(name, *row) for name, row in FAULTS.items()], ids=FAULTS)
def test_a_fault_of_the_upstream_is_told_and_costs_nothing(fault, outcomes, code, live, payer):
    before = balance(payer, live)
    wish = prompt(f"[fault:{fault}]")
    answer = payer.post(f"{live.api}/generations", json={"prompt": wish, "image_size": "0.5K"}, headers=WAIT)
    generation = answer.json()
    assert generation["status"] == "failed", answer.text
    assert [attempt["outcome"] for attempt in generation["attempts"]] == outcomes
    assert generation["error"]["code"] == code
    assert generation["error"]["message"]
    assert generation["error"]["remedy"]
    assert generation["error"]["charged"] is False
    assert generation["images"] == []
    # Calls are found by their prompt, and chat completions say it in more words.
    assert calls_for(live, wish) == (1 if code == "auth" else len(outcomes))
    assert balance(payer, live) == before


SURVIVED = [
    "wrong_mime",
    "jpeg",
    "webp",
    "snake_case",
    "thought_image_first",
    "all_thought",
    "two_images",
    "missing_role",
    "extra_fields",
    "urlsafe_b64",
    "503x2",
    "429x1",
    "500x1",
    "hangup_beforex1",
]


@pytest.mark.parametrize("fault", SURVIVED)
def test_an_odd_answer_or_a_passing_fault_still_brings_the_picture(fault, live, payer):
    before = spent_micros(payer, live)
    answer = payer.post(
        f"{live.api}/generations", json={"prompt": prompt(f"[fault:{fault}]"), "image_size": "0.5K"}, headers=WAIT
    )
    generation = answer.json()
    assert generation["status"] == "succeeded", answer.text
    assert spent_micros(payer, live) == before + 58_000


def test_half_the_pixels_are_kept_and_said(live, payer):
    answer = payer.post(
        f"{live.api}/generations", json={"prompt": prompt("[fault:wrong_size]"), "image_size": "1K"}, headers=WAIT
    )
    assert answer.json()["images"][0]["honoured"] == {"aspect_ratio": True, "image_size": False}


def test_the_audit_is_clean_after_all_of_it(live):
    assert live.manage("verifyledger") == "The ledger is sound."
    live.manage("verifyblobs")


def test_no_secret_is_in_the_log(live, payer):
    payer.post(f"{live.api}/generations", json={"prompt": prompt()}, headers=WAIT)
    key = payer.headers["Authorization"].removeprefix("Bearer ")
    log = live.log()
    assert live.env["EMULATOR_KEY"] not in log
    assert key not in log
    assert "iVBORw0KGgo" not in log
