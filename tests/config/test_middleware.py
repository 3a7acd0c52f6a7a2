"""Every request has an id and one line in the log, and what breaks below /api/ is still readable by a program."""

import asyncio
import json
import re

import pytest
import structlog
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient, override_settings
from django.urls import path

from config.urls import urlpatterns as own_urlpatterns
from tests.people import client_with, make_key, make_person

MADE_ID = re.compile(r"[0-9a-f]{32}")


def fail(request):
    raise RuntimeError("canary: the message of an error of ours")


def greet(request):
    return HttpResponse(structlog.contextvars.get_contextvars()["request_id"])


async def greet_later(request):
    await asyncio.sleep(0)
    return JsonResponse(structlog.contextvars.get_contextvars())


urlpatterns = [
    path("api/v1/fail", fail),
    path("page/fail", fail),
    path("greet", greet),
    path("greet-later", greet_later),
    *own_urlpatterns,
]
handler400 = "config.error_pages.bad_request"
handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def log():
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def request_lines(log):
    return [line for line in log if line["event"] == "request"]


def test_a_request_without_an_id_is_given_one_of_its_own(client):
    first, second = client.get("/greet"), client.get("/greet")
    assert MADE_ID.fullmatch(first["X-Request-ID"])
    assert first["X-Request-ID"] != second["X-Request-ID"]


@pytest.mark.parametrize("given", ["a", "trace-1.2_3", "0" * 64])
def test_a_sane_id_of_the_caller_is_kept(given, client):
    response = client.get("/greet", headers={"X-Request-ID": given})
    assert (response["X-Request-ID"], response.content.decode()) == (given, given)


@pytest.mark.parametrize("given", ["", "0" * 65, "-rf", "a b", "a\u00e9", "a;drop", "<script>", "a\x1b[31m"])
def test_any_other_id_is_not_repeated(given, client):
    assert MADE_ID.fullmatch(client.get("/greet", headers={"X-Request-ID": given})["X-Request-ID"])


@pytest.mark.parametrize(
    ("address", "status"), [("/healthz", 200), ("/nowhere", 404), ("/api/v1/nowhere", 404), ("/api/v1/api-keys", 401)]
)
@pytest.mark.django_db
def test_every_answer_carries_the_id(address, status, client):
    response = client.get(address, headers={"X-Request-ID": "mine"})
    assert (response.status_code, response["X-Request-ID"]) == (status, "mine")


def test_a_refused_host_carries_the_id(client):
    response = client.get("/greet", headers={"Host": "evil.example", "X-Request-ID": "mine"})
    assert (response.status_code, response["X-Request-ID"]) == (400, "mine")


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_of_ours_below_api_is_problem_json_that_tells_nothing(debug, client, settings):
    settings.DEBUG = debug
    client.raise_request_exception = False
    response = client.get("/api/v1/fail", headers={"X-Request-ID": "mine"})
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    body = json.loads(response.content)
    assert (body["code"], body["request_id"], response["X-Request-ID"]) == ("error", "mine", "mine")
    assert b"canary" not in response.content


def test_an_error_of_a_page_is_left_to_django(client):
    client.raise_request_exception = False
    response = client.get("/page/fail")
    assert response.status_code == 500
    assert response["Content-Type"].startswith("text/html")


def test_an_error_is_seen_by_whoever_watches_for_errors(client):
    with pytest.raises(RuntimeError, match="canary"):
        client.get("/api/v1/fail")


def test_an_error_is_logged_with_the_id_of_its_request(client, log):
    client.raise_request_exception = False
    client.get("/api/v1/fail", headers={"X-Request-ID": "mine"})
    failure = next(line for line in log if line["event"] == "request_failed")
    assert (failure["log_level"], failure["request_id"], type(failure["exc_info"])) == ("error", "mine", RuntimeError)
    assert request_lines(log)[0]["status"] == 500


def test_a_request_is_one_line_without_its_query(client, log):
    client.get("/greet?key=canary&prompt=canary", headers={"X-Request-ID": "mine"})
    (line,) = log
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/greet",
        "status": 200,
        "user": None,
        "request_id": "mine",
    }


@pytest.mark.django_db
def test_the_line_names_the_user_of_an_api_key(log):
    alice = make_person("alice")
    client_with(make_key(alice)).get("/api/v1/api-keys")
    assert request_lines(log)[-1]["user"] == str(alice.public_id)


@pytest.mark.django_db
def test_nobody_is_looked_up_for_the_log_alone(client, log, django_assert_num_queries):
    client.force_login(make_person("alice"))
    with django_assert_num_queries(0):
        client.get("/greet")
    assert request_lines(log)[-1]["user"] is None


def test_probes_are_logged_for_debugging_only(client, log):
    client.get("/healthz")
    assert [line["log_level"] for line in request_lines(log)] == ["debug"]


def test_one_request_does_not_inherit_what_another_has_bound(client):
    structlog.contextvars.bind_contextvars(generation=1)
    client.get("/greet")
    assert set(structlog.contextvars.get_contextvars()) == {"request_id"}


@override_settings(ROOT_URLCONF=__name__)
def test_behind_asgi_it_is_the_same():
    response = asyncio.run(AsyncClient().get("/greet-later", headers={"X-Request-ID": "mine"}))
    assert (response.json(), response["X-Request-ID"]) == ({"request_id": "mine"}, "mine")
