"""What a person sees instead of a page: each status in our words, nothing lost that was typed, JSON for programs."""

import json
from html.parser import HTMLParser

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    RateLimited,
    ServiceUnavailable,
)
from accounts.models import User
from config import error_pages
from config.urls import urlpatterns as own_urlpatterns
from tests.people import PASSWORD

FAULTS = {
    "missing": Http404("a table of ours"),
    "no-such": NotFound(),
    "not-there": NotFound("There is no picture with this address.", remedy="Look in the library."),
    "denied": PermissionDenied(),
    "conflict": Conflict("Too late to cancel: the picture is already being painted."),
    "invalid": InvalidInput("Two are wrong.", errors=(FieldError("a", "A is bad."), FieldError("b", "B is bad."))),
    "suspicious": SuspiciousOperation("canary"),
    "too-many": RateLimited(retry_after=7),
    "closed": ServiceUnavailable(retry_after=3),
    "database": OperationalError("canary"),
    "broken": RuntimeError("canary"),
    "nobody": NotAuthenticated(),
}
taken = []


def fail(request, name):
    raise FAULTS[name]


@require_POST
def take(request):
    taken.append(request.POST.dict())
    return HttpResponse("taken")


@login_required
@require_POST
def take_from_member(request):
    return take(request)


@require_safe
def look(request):
    return HttpResponse("looked")


urlpatterns = [
    path("fail/<slug:name>/", fail),
    path("api/v1/fail/<slug:name>", fail),
    path("take/", take),
    path("member/", take_from_member),
    path("look/", look),
    *own_urlpatterns,
]
handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.forbidden"
handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _nothing_taken():
    taken.clear()


@pytest.fixture(params=[True, False], ids=["debug", "live"])
def debug(request, settings):
    settings.DEBUG = request.param


@pytest.fixture
def suspicious_client(client):
    client.raise_request_exception = False
    return client


def words(response):
    return " ".join(response.content.decode().split())


# --- Each status ---


@pytest.mark.parametrize(
    ("name", "status", "heading", "says"),
    [
        ("missing", 404, "Not found", "There is no page at this address."),
        ("no-such", 404, "Not found", "There is no page at this address."),
        ("not-there", 404, "Not found", "There is no picture with this address."),
        ("denied", 403, "Not allowed", "This page is not open to your account."),
        ("conflict", 409, "Not possible in this state", "the picture is already being painted."),
        ("invalid", 400, "The request is not valid", "<li>A is bad.</li><li>B is bad.</li>"),
        ("suspicious", 400, "The request is not valid", "could not be read"),
        ("too-many", 429, "Too many requests", "Too many requests in this minute."),
        ("closed", 503, "Not available just now", "Nothing was charged."),
        ("database", 503, "Not available just now", "Nothing was charged."),
    ],
)
@pytest.mark.usefixtures("debug")
def test_an_error_that_leaves_a_view_is_a_page(name, status, heading, says, client):
    response = client.get(f"/fail/{name}/", headers={"X-Request-ID": "mine"})
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{heading}</h1>" in words(response)
    assert says in words(response)
    assert f"({status})" in words(response)
    assert "canary" not in words(response)
    assert (response["Cache-Control"], response["X-Request-ID"]) == ("private, no-store", "mine")


@pytest.mark.parametrize("name", ["missing", "denied", "invalid", "closed"])
def test_these_pages_have_the_policy_of_all_pages(name, client):
    assert "default-src 'self'" in client.get(f"/fail/{name}/")["Content-Security-Policy"]


def test_the_time_to_wait_is_told(client):
    assert client.get("/fail/too-many/")["Retry-After"] == "7"


def test_a_fault_of_ours_is_a_page_with_the_request_id(suspicious_client):
    response = suspicious_client.get("/fail/broken/", headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert "Something went wrong" in words(response)
    assert '<dd class="mono">mine</dd>' in words(response)
    assert "canary" not in words(response)


def test_the_page_of_a_fault_asks_no_database(django_assert_num_queries, alice, client):
    client.force_login(alice)
    request = RequestFactory().get("/fail/broken/")
    with django_assert_num_queries(0):
        assert error_pages.server_error(request).status_code == 500
        assert error_pages.render_error(request, ServiceUnavailable()).status_code == 503


def test_the_page_of_a_fault_needs_no_manifest_of_static_files(settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    assert error_pages.server_error(RequestFactory().get("/")).status_code == 500


@pytest.mark.usefixtures("debug")
def test_an_address_that_is_nobodys_is_a_page_for_whatever_method(client):
    for response in (client.get("/nowhere/"), client.post("/nowhere/"), Client(enforce_csrf_checks=True).post("/no")):
        assert response.status_code == 404
        assert "There is no page at this address." in words(response)


def test_a_page_that_only_takes_forms_says_so(client):
    response = client.get("/take/")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert "Nothing was changed." in words(response)


def test_a_page_that_is_only_looked_at_says_so(client):
    assert client.post("/look/").status_code == 405


@pytest.mark.usefixtures("debug")
def test_a_refused_host_is_told_and_asks_no_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "does not answer to the name" in words(response)
    assert "evil.example" not in words(response)
    assert 'href="/"' not in words(response)  # it would be refused again
    assert "default-src 'self'" in response["Content-Security-Policy"]


def test_who_must_sign_in_is_sent_there_and_back(client):
    response = client.get("/fail/nobody/?page=2")
    assert (response.status_code, response.url) == (302, "/accounts/login/?next=/fail/nobody/%3Fpage%3D2")


def test_htmx_gets_a_sentence_instead_of_a_page(client):
    response = client.get("/fail/conflict/", headers={"HX-Request": "true"})
    assert (response.status_code, response["Content-Type"]) == (409, "text/plain")
    assert words(response).startswith("Too late to cancel: the picture is already being painted.")


def test_htmx_is_sent_to_sign_in_as_a_whole_page(client):
    response = client.post("/member/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/look/?a=1"})
    assert (response.status_code, response["HX-Redirect"]) == (200, "/accounts/login/?next=/look/%3Fa%3D1")


# --- Programs ---


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("missing", 404, "not_found"),
        ("denied", 403, "forbidden"),
        ("suspicious", 400, "invalid"),
        ("broken", 500, "error"),
    ],
)
@pytest.mark.usefixtures("debug")
def test_below_api_the_same_errors_are_problem_json(name, status, code, suspicious_client):
    response = suspicious_client.get(f"/api/v1/fail/{name}")
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert json.loads(response.content)["code"] == code


@pytest.mark.parametrize("address", ["/api/v1/models", "/v1/models", "/v1beta/models"])
@pytest.mark.usefixtures("debug")
def test_a_refused_host_is_told_to_programs_in_json(address, client):
    response = client.get(address, headers={"Host": "evil.example"})
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert "ALLOWED_HOSTS" in json.loads(response.content)["remedy"]


@pytest.mark.parametrize("address", ["/v1/nowhere", "/v1beta/models/x:generateContent", "/api/nowhere", "/v1"])
@pytest.mark.usefixtures("debug")
def test_a_program_is_never_answered_in_html(address, client):
    for response in (client.get(address), client.post(address)):
        assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


# --- A forgotten slash ---


@pytest.mark.parametrize(
    ("asked", "sent_to"),
    [("/studio", "/studio/"), ("/look?a=1&b=%20", "/look/?a=1&b=%20"), ("/docs/errors", "/docs/errors/")],
)
def test_a_forgotten_slash_is_added(asked, sent_to, client):
    response = client.get(asked)
    assert (response.status_code, response.url) == (301, sent_to)


@pytest.mark.parametrize("address", ["/nowhere", "//evil.example", "//studio", "/api/v1/nowhere", "/v1/models"])
def test_nothing_else_is_sent_elsewhere(address, rf):
    request = rf.get("/")
    request.path = request.path_info = address
    assert error_pages.no_such_page(request).status_code == 404


def test_a_form_is_never_sent_elsewhere(client):
    assert client.post("/take", {"prompt": "a fox"}).status_code == 404
    assert taken == []


# --- What was typed is kept ---

TYPED = {
    "prompt": "A fox that reads the <b>paper</b>\nunder a banana tree",
    "model": "nano-banana-2",
    "password": "canary-1",
    "oldpassword": "canary-2",
    "csrfmiddlewaretoken": "canary-3",
    "code": "canary-4",
    "api_key": "canary-5",
}


class FormReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.fields, self.area, self.action, self.is_ours = {}, None, None, False

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.is_ours = "panel" in attrs.get("class", "")
            self.action = attrs["action"] if self.is_ours else self.action
        elif self.is_ours and tag == "input" and "name" in attrs:
            self.fields[attrs["name"]] = attrs.get("value", "")
        elif self.is_ours and tag == "textarea":
            self.area = attrs["name"]
            self.fields[self.area] = ""

    def handle_data(self, data):
        if self.area:
            self.fields[self.area] += data

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.fields[self.area] = self.fields[self.area].removeprefix("\n")
            self.area = None


def sent_again(response, **secrets):
    """The action and the fields of the form in this page, as a browser would send them."""
    form = FormReader()
    form.feed(response.content.decode())
    return form.action, {**form.fields, **secrets}


@pytest.fixture
def strict():
    return Client(enforce_csrf_checks=True)


def test_a_stale_form_is_refused_and_nothing_typed_is_lost(strict):
    response = strict.post("/take/?from=studio", TYPED)
    assert response.status_code == 403
    assert taken == []
    assert "open for too long" in words(response)
    assert "canary" not in words(response)
    assert "<b>paper</b>" not in words(response)
    action, fields = sent_again(response)
    assert action == "/take/?from=studio"
    assert fields["prompt"] == TYPED["prompt"]
    assert fields["model"] == "nano-banana-2"
    assert (fields["password"], fields["oldpassword"], fields["code"], fields["api_key"]) == ("", "", "", "")


def test_the_form_on_that_page_can_be_sent(strict):
    action, fields = sent_again(strict.post("/take/", TYPED), password="typed anew")
    response = strict.post(action, fields)
    assert (response.status_code, response.content) == (200, b"taken")
    assert (taken[0]["prompt"], taken[0]["password"]) == (TYPED["prompt"], "typed anew")


def test_a_token_of_another_session_is_as_stale(strict):
    strict.get("/accounts/login/")
    assert strict.post("/take/", {**TYPED, "csrfmiddlewaretoken": "x" * 64}).status_code == 403
    assert taken == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_the_form_of_another_site_is_not_offered_again(headers, strict):
    response = strict.post("/take/", TYPED, headers=headers)
    assert taken == []
    assert response.status_code == 403
    assert "another site" in words(response)
    assert "banana tree" not in words(response)
    assert "Send again" not in words(response)


def test_a_stale_form_below_api_is_problem_json(strict):
    response = error_pages.csrf_failure(RequestFactory().post("/api/v1/fail/x", {"prompt": "a fox"}))
    assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")


def test_who_was_signed_out_meanwhile_finds_the_form_after_signing_in(alice, strict):
    strict.get("/accounts/login/")
    token = strict.cookies["csrftoken"].value
    refused = strict.post("/member/", {**TYPED, "csrfmiddlewaretoken": token})
    assert (refused.status_code, refused.url) == (302, "/accounts/login/?next=/unsent/")
    assert taken == []
    assert "canary" not in str(dict(strict.session))

    strict.force_login(alice)
    waiting = strict.get("/unsent/")
    action, fields = sent_again(waiting)
    assert (action, fields["prompt"]) == ("/member/", TYPED["prompt"])
    assert strict.post(action, fields).content == b"taken"
    assert taken[0]["prompt"] == TYPED["prompt"]


def test_signing_in_by_the_form_keeps_it_too(alice, client):
    EmailAddress.objects.update_or_create(user=alice, email=alice.email, defaults={"verified": True, "primary": True})
    client.post("/member/", {"prompt": TYPED["prompt"]})
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    assert User.objects.get(pk=client.session["_auth_user_id"]) == alice
    assert "under a banana tree" in words(client.get("/unsent/"))


def test_nothing_waits_for_who_has_sent_nothing(alice, client):
    client.force_login(alice)
    assert client.get("/unsent/").url == "/studio/"


def test_a_stranger_has_no_unsent_form(client):
    assert client.get("/unsent/").url == "/accounts/login/?next=/unsent/"
