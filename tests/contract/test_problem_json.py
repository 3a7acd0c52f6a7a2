"""Every refusal and failure below /api/ is application/problem+json with the members of CONTRACT 5."""

import importlib
import json
import re
from datetime import UTC, datetime

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions as rest
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.errors import FieldError, QuotaExceeded, ServiceError
from accounts.models import ApiKey
from config.api import render_problem, server_error
from generations.errors import UnknownModel, WireError
from tests.people import client_with

MEMBERS = ("type", "title", "status", "code", "detail", "remedy", "errors", "request_id")
KEYS = "/api/v1/api-keys"


def subclasses(kind):
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def every_error():
    for name in ("accounts.errors", "gallery.errors", "generations.errors", "config.api"):
        importlib.import_module(name)
    return sorted(subclasses(ServiceError), key=lambda kind: kind.__name__)


def example(kind):
    if kind is WireError:
        return WireError((FieldError("contents", "contents is missing."),))
    return kind("There is no such model.") if issubclass(kind, UnknownModel) else kind()


class Failing(APIView):
    authentication_classes = permission_classes = throttle_classes = ()
    error: Exception = Exception()

    def get(self, request):
        raise self.error


def answer_to(error):
    return Failing.as_view(error=error)(APIRequestFactory().get("/api/v1/anything"))


def problem(response, status, code):
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert tuple(body)[: len(MEMBERS)] == MEMBERS
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"].endswith(f"/docs/errors/{code}")
    return body


# --- Our own errors ---


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_ours_is_told_in_full(kind):
    error = example(kind)
    body = problem(answer_to(error), error.status, error.code)
    assert 400 <= error.status <= 599
    assert re.fullmatch(r"[a-z][a-z_]+", error.code)
    assert (body["title"], body["detail"], body["remedy"]) == (error.title, error.message, error.remedy)
    assert all((error.title, error.message, error.remedy))


def test_a_code_has_one_status():
    statuses = {}
    for kind in every_error():
        statuses.setdefault(kind.code, set()).add(kind.status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_fields_facts_and_the_time_to_wait_are_told():
    error = ServiceError(
        "No.", remedy="Wait.", retry_after=7, errors=(FieldError("a.b", "bad"),), required="1.00", status="mine"
    )
    response = answer_to(error)
    body = problem(response, 500, "error")
    assert (body["detail"], body["remedy"], body["required"]) == ("No.", "Wait.", "1.00")
    assert body["errors"] == [{"field": "a.b", "message": "bad"}]
    assert response["Retry-After"] == "7"


def test_a_used_up_limit_is_told_in_the_headers_too():
    error = QuotaExceeded(
        retry_after=60, policy="images_per_day", source="plan", limit=40, used=40, reset=60, window=86400
    )
    response = answer_to(error)
    body = problem(response, 429, "quota_exceeded")
    assert {name: body[name] for name in error.facts} == error.facts
    assert response["RateLimit"] == '"images_per_day";r=0;t=60'
    assert response["RateLimit-Policy"] == '"images_per_day";q=40;w=86400;qu="images"'
    assert response["Retry-After"] == "60"


def test_the_request_id_is_that_of_the_request(settings):
    settings.SITE_URL = "https://studio.example.com"
    request = RequestFactory().get("/")
    assert problem(render_problem(ServiceError(), request), 500, "error")["request_id"] == ""
    request.request_id = "req-1"
    body = problem(render_problem(ServiceError(moment=datetime(2026, 1, 2, tzinfo=UTC)), request), 500, "error")
    assert body["request_id"] == "req-1"
    assert body["type"] == "https://studio.example.com/docs/errors/error"
    assert body["moment"] == "2026-01-02T00:00:00Z"


# --- What the frameworks raise ---


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (rest.ParseError(), 400, "invalid"),
        (rest.ValidationError("no"), 400, "invalid"),
        (TooManyFieldsSent(), 400, "invalid"),
        (rest.NotAuthenticated(), 401, "not_authenticated"),
        (rest.AuthenticationFailed(), 401, "not_authenticated"),
        (rest.PermissionDenied(), 403, "forbidden"),
        (PermissionDenied(), 403, "forbidden"),
        (rest.NotFound(), 404, "not_found"),
        (Http404(), 404, "not_found"),
        (rest.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (rest.NotAcceptable(), 406, "not_acceptable"),
        (RequestDataTooBig(), 413, "payload_too_large"),
        (rest.UnsupportedMediaType("text/csv"), 415, "unsupported_media_type"),
        (rest.Throttled(wait=3.2), 429, "rate_limited"),
        (OperationalError("server closed the connection"), 503, "unavailable"),
        (InterfaceError("connection already closed"), 503, "unavailable"),
    ],
)
def test_what_the_frameworks_raise_is_told_the_same_way(error, status, code):
    response = answer_to(error)
    problem(response, status, code)
    assert (response.headers.get("WWW-Authenticate") is not None) == (status == 401)
    assert (response.headers.get("Retry-After") is not None) == (status in (429, 503))


def test_a_database_that_is_away_is_not_described_to_the_client():
    assert "secret" not in answer_to(OperationalError("secret host refused")).content.decode()


def test_nested_refusals_name_their_fields_by_path():
    detail = {"prompt": ["missing"], "styles": {1: ["too long"]}, "items": [{}, {"a": ["bad", "worse"]}]}
    body = problem(answer_to(rest.ValidationError({**detail, "non_field_errors": ["both"]})), 400, "invalid")
    assert [(error["field"], error["message"]) for error in body["errors"]] == [
        ("prompt", "missing"),
        ("styles.1", "too long"),
        ("items.1.a", "bad"),
        ("items.1.a", "worse"),
        ("", "both"),
    ]
    assert body["detail"] == "missing too long bad worse both"


def test_what_nobody_foresaw_goes_to_django_and_its_log():
    with pytest.raises(ZeroDivisionError):
        answer_to(ZeroDivisionError())


# --- Addresses ---


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/", "/api/v1/ledger/x", "/api/v1/api-keys//"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_address_below_api_that_is_not_there_is_a_problem(client, settings, path, method):
    for settings.DEBUG in (False, True):
        problem(getattr(client, method)(path), 404, "not_found")


def test_a_crash_below_api_is_a_problem():
    problem(server_error(RequestFactory().get("/api/v1/ledger")), 500, "error")


# --- Bodies ---


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b'"text"', b"1", b"null", b"true", b"{", b"{}}", b"name=a", b'{"name": NaN}', b'{"name": Infinity}',
        b"{'name': 1}", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b'{"name": "a"', b"\xef\xbb\xbf{}",
        b'{"a":' * 100_000, b" ",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(api, body):
    response = api.post(KEYS, body, content_type="application/json")
    assert problem(response, 400, "invalid")["detail"].startswith("The body ")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_refused(api, content_type):
    problem(api.generic("POST", KEYS, b'{"name": "a"}', content_type=content_type), 415, "unsupported_media_type")
    assert ApiKey.objects.count() == 1


def test_a_body_above_the_limit_is_refused_before_it_is_read(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = problem(
        api.post(KEYS, b'{"name":"%s"}' % (b"a" * 990), content_type="application/json"), 413, "payload_too_large"
    )
    assert body["limit_bytes"] == 1000
    assert ApiKey.objects.count() == 1


def test_no_body_is_an_empty_object(api):
    assert api.generic("POST", KEYS).status_code == 201


@pytest.mark.parametrize("accept", ["text/html", "text/csv"])
def test_an_answer_in_another_form_than_json_is_refused(api, accept):
    problem(api.get(KEYS, headers={"Accept": accept}), 406, "not_acceptable")


def test_a_page_names_its_neighbours(api):
    assert set(api.get(KEYS).json()) == {"results", "next", "previous"}
