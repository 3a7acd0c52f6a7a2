"""Who may call the API: keys in three headers, sessions with their CSRF token, and nobody else."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.models import ApiKey
from tests.people import PASSWORD, client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/api-keys"


def refused(response, status, code):
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == code
    return response.json()


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer {}"}, {"Authorization": "bearer  {} "}, {"Authorization": "{}"},
                {"x-goog-api-key": "{}"}, {"Authorization": "Bearer {}", "x-goog-api-key": "{}"}]
)  # fmt: skip
def test_a_key_is_taken_from_any_of_three_headers(alice_key, stranger, headers):
    headers = {name: value.format(alice_key) for name, value in headers.items()}
    assert stranger.get(PATH, headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_a_key_or_a_session_the_answer_is_401(stranger, method):
    response = getattr(stranger, method)(PATH)
    assert response["WWW-Authenticate"] == 'Bearer realm="plantain"'
    assert "Bearer KEY" in refused(response, 401, "not_authenticated")["remedy"]


@pytest.mark.parametrize("value", ["Bearer", "Bearer nonsense", "Basic YWxpY2U6c2VjcmV0", "", "Bearer a b"])
def test_a_bad_key_is_401_and_no_session_makes_up_for_it(client, alice, value):
    client.force_login(alice)
    response = client.get(PATH, headers={"Authorization": value})
    assert response["WWW-Authenticate"] == 'Bearer realm="plantain"'
    refused(response, 401, "not_authenticated")


def test_revoked_and_expired_keys_and_switched_off_accounts_say_so(alice, alice_key):
    client = client_with(alice_key)
    assert client.get(PATH).status_code == 200
    past = datetime(2026, 1, 2, tzinfo=UTC)
    for change, said in [({"revoked_at": past}, "revoked"), ({"revoked_at": None, "expires_at": past}, "expired")]:
        ApiKey.objects.update(**change)
        assert said in refused(client.get(PATH), 401, "not_authenticated")["detail"]
    ApiKey.objects.update(expires_at=None)
    alice.is_active = False
    alice.save()
    assert "switched off" in refused(client.get(PATH), 401, "not_authenticated")["detail"]


def test_two_different_keys_are_refused(alice_key, bob_key):
    response = client_with(alice_key).get(PATH, headers={"x-goog-api-key": bob_key})
    assert "Two different keys" in refused(response, 401, "not_authenticated")["detail"]


def test_a_key_in_the_address_is_refused_with_a_hint_and_not_repeated(alice_key, stranger):
    for client in (stranger, client_with(alice_key)):
        response = client.get(PATH, {"key": alice_key})
        assert "x-goog-api-key" in refused(response, 401, "not_authenticated")["remedy"]
        assert alice_key not in response.content.decode()


def test_a_session_reads_with_its_cookie_alone_and_writes_with_a_csrf_token(alice):
    client = Client(enforce_csrf_checks=True)
    assert client.login(email=alice.email, password=PASSWORD)
    assert client.get(PATH).status_code == 200
    response = client.post(PATH, {}, content_type="application/json")
    assert "CSRF" in refused(response, 403, "forbidden")["detail"]
    assert not ApiKey.objects.exists()


def test_a_key_needs_no_csrf_token(alice_key):
    client = Client(enforce_csrf_checks=True, headers={"x-goog-api-key": alice_key})
    assert client.post(PATH, {}, content_type="application/json").status_code == 201


def test_a_key_without_the_scope_is_refused_by_the_scopes_name(alice):
    client = client_with(make_key(alice, "generate", "read"))
    for response in (client.get(PATH), client.post(PATH, {}, content_type="application/json")):
        assert refused(response, 403, "forbidden")["detail"] == "This API key has not the scope 'account'."
    assert ApiKey.objects.count() == 1


# --- What a view declares ---


class Desk(APIView):
    required_scopes = {"GET": "read", "POST": "review"}

    def get(self, request):
        return Response([request.user.email, getattr(request.auth, "name", None)])

    def post(self, request):
        return Response(status=204)

    def put(self, request):
        return Response(status=204)


class Undeclared(APIView):
    get = Desk.get


def call(view, method, key):
    request = getattr(APIRequestFactory(), method)("/", headers={"Authorization": f"Bearer {key}"})
    return view.as_view()(request)


def test_the_view_knows_the_user_and_the_key(alice):
    assert call(Desk, "get", make_key(alice, "read", name="phone")).data == ["alice@example.com", "phone"]


def test_each_method_needs_its_own_scope(staff):
    reader, reviewer = make_key(staff, "read"), make_key(staff, "review")
    assert [call(Desk, "get", key).status_code for key in (reader, reviewer)] == [200, 403]
    assert [call(Desk, "head", key).status_code for key in (reader, reviewer)] == [200, 403]
    assert [call(Desk, "post", key).status_code for key in (reader, reviewer)] == [403, 204]


def test_a_reviewer_who_left_the_staff_does_not_review(staff):
    key = make_key(staff, "review")
    staff.is_staff = False
    staff.save()
    assert call(Desk, "post", key).status_code == 403


def test_a_method_that_is_not_there_is_405_whatever_the_scopes(staff_key):
    assert call(Desk, "delete", staff_key).status_code == 405


@pytest.mark.parametrize(("view", "method"), [(Desk, "put"), (Undeclared, "get")])
def test_a_verb_without_a_declared_scope_is_open_to_nobody(view, method, staff_key):
    with pytest.raises(ImproperlyConfigured):
        call(view, method, staff_key)
