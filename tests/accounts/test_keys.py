import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts import keys
from accounts.errors import Conflict, Forbidden, InvalidInput, NotAuthenticated, NotFound
from accounts.models import ApiKey
from tests.people import make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def no_queries(django_assert_num_queries):
    with django_assert_num_queries(0):
        yield


def refused(raw):
    with pytest.raises(NotAuthenticated) as error:
        keys.authenticate(raw)
    return error.value.message


# --- Making ---


def test_a_key_has_the_published_form_and_only_its_hash_is_kept(alice):
    issued = keys.create_key(user=alice, name=" Laptop ")
    raw, row = issued.secret, ApiKey.objects.get()
    assert re.fullmatch(keys.KEY_PATTERN, raw)
    assert raw.startswith(f"nbk_live_{row.lookup}_")
    assert len(raw) == 54
    assert (row.name, row.last_four, row.scopes) == ("Laptop", raw[-4:], ["generate", "read"])
    assert raw[18:48] not in "".join(str(value) for value in ApiKey.objects.values().get().values())


def test_scopes_are_kept_once_and_in_order(alice):
    assert keys.create_key(user=alice, scopes=["read", "account", "read"]).api_key.scopes == ["read", "account"]


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        ("scopes", {"scopes": ["read", "admin"]}),
        ("scopes", {"scopes": []}),
        ("name", {"name": "  "}),
        ("name", {"name": "n" * 101}),
        ("name", {"name": "a\0b"}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_bad_wish_is_refused_by_its_field(alice, field, wish):
    with pytest.raises(InvalidInput) as refusal:
        keys.create_key(user=alice, **wish)
    assert [error.field for error in refusal.value.errors] == [field]
    assert not ApiKey.objects.exists()


def test_the_review_scope_is_for_staff(alice, staff):
    with pytest.raises(Forbidden, match="staff"):
        keys.create_key(user=alice, scopes=["review"])
    assert keys.create_key(user=staff, scopes=["review"]).api_key.scopes == ["review"]
    assert not alice.api_keys.exists()


def test_a_key_makes_no_key_with_a_scope_that_it_has_not(alice):
    issuer = keys.create_key(user=alice, scopes=["account", "read"]).api_key
    with pytest.raises(Forbidden, match="'generate'"):
        keys.create_key(user=alice, scopes=["generate", "read"], issuer=issuer)
    assert keys.create_key(user=alice, scopes=["read"], issuer=issuer).api_key.scopes == ["read"]


def test_fifty_keys_may_be_active_at_once(alice):
    made = [keys.create_key(user=alice).api_key for _ in range(keys.MAX_ACTIVE_KEYS)]
    with pytest.raises(Conflict):
        keys.create_key(user=alice)
    keys.revoke_key(user=alice, key_id=made[0].public_id)
    keys.create_key(user=alice)
    ApiKey.objects.filter(pk=made[1].pk).update(expires_at=timezone.now())
    keys.create_key(user=alice)
    assert alice.api_keys.count() == keys.MAX_ACTIVE_KEYS + 2


def test_two_requests_at_once_do_not_both_make_the_last_key(race, alice):
    for _ in range(keys.MAX_ACTIVE_KEYS - 1):
        keys.create_key(user=alice)
    outcomes = race(8, lambda _: keys.create_key(user=alice))
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert alice.api_keys.count() == keys.MAX_ACTIVE_KEYS


# --- Checking ---


def test_a_key_speaks_for_its_user(alice, bob, alice_key, bob_key):
    assert keys.authenticate(alice_key).user == alice
    assert keys.authenticate(bob_key).user == bob


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "sk-123",
        "nbk_live_abcdefgh",
        "nbk_live_abcdefgh_" + "0" * 36,
        "nbk_live_abcdefgh_" + "0" * 36 + "\n",
        "nbk_live_äbcdefgh_" + "0" * 36,
    ],
)
def test_a_malformed_key_costs_no_query(raw, no_queries):
    assert "mistyped" in refused(raw)


def test_a_mistyped_character_is_seen_by_the_checksum(alice_key, django_assert_num_queries):
    other = "x" if alice_key[20] != "x" else "y"
    with django_assert_num_queries(0):
        assert "mistyped" in refused(alice_key[:20] + other + alice_key[21:])


def with_checksum(body):
    return body + keys._checksum(body)


def test_a_key_with_another_secret_or_of_the_other_kind_is_unknown(alice_key):
    body = alice_key[:-6]
    assert refused(with_checksum(body[:-1] + ("x" if body[-1] != "x" else "y"))) == "There is no such API key."
    assert refused(with_checksum(body.replace("nbk_live", "nbk_test"))) == "There is no such API key."
    assert refused(with_checksum("nbk_live_00000000_" + "0" * 30)) == "There is no such API key."


def test_what_became_of_a_key_is_told_only_to_who_has_it(alice):
    raw = make_key(alice)
    ApiKey.objects.update(revoked_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert refused(raw) == "This API key was revoked at 2026-01-02 03:04 UTC."
    body = raw[:-6]
    assert refused(with_checksum(body[:-1] + ("x" if body[-1] != "x" else "y"))) == "There is no such API key."


def test_an_expired_key_is_refused(alice):
    raw = make_key(alice, expires_at=timezone.now() + timedelta(hours=1))
    assert keys.authenticate(raw).user == alice
    ApiKey.objects.update(expires_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert refused(raw) == "This API key expired at 2026-01-02 03:04 UTC."


def test_the_key_of_an_account_that_is_switched_off_is_refused(alice, alice_key):
    alice.is_active = False
    alice.save()
    assert refused(alice_key) == "The account of this API key is switched off."


def test_a_revoked_key_is_refused_at_its_next_use(alice, alice_key):
    key_id = keys.authenticate(alice_key).public_id
    keys.revoke_key(user=alice, key_id=key_id)
    revoked_at = ApiKey.objects.get().revoked_at
    assert "revoked" in refused(alice_key)
    keys.revoke_key(user=alice, key_id=key_id)
    assert ApiKey.objects.get().revoked_at == revoked_at


def test_nobody_revokes_the_key_of_another(alice, bob, alice_key):
    with pytest.raises(NotFound):
        keys.revoke_key(user=bob, key_id=ApiKey.objects.get().public_id)
    assert keys.authenticate(alice_key).revoked_at is None


def test_a_key_loses_the_scopes_that_its_owner_loses(staff):
    raw = make_key(staff, "read", "review")
    assert keys.granted_scopes(keys.authenticate(raw)) == ("read", "review")
    staff.is_staff = False
    staff.save()
    assert keys.granted_scopes(keys.authenticate(raw)) == ("read",)


def test_a_use_is_noted_at_most_once_a_minute(alice_key, django_assert_num_queries):
    with django_assert_num_queries(2):
        keys.authenticate(alice_key)
    noted = ApiKey.objects.get().last_used_at
    assert noted is not None
    with django_assert_num_queries(1):
        keys.authenticate(alice_key)
    assert ApiKey.objects.get().last_used_at == noted
    ApiKey.objects.update(last_used_at=noted - timedelta(minutes=2))
    keys.authenticate(alice_key)
    assert ApiKey.objects.get().last_used_at >= noted


# --- The server's secret ---


def test_keys_survive_a_new_secret_while_the_old_one_is_a_fallback(alice, alice_key, settings):
    before = ApiKey.objects.get()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new secret key, as long as it should be, 0123456789"
    assert keys.authenticate(alice_key).user == alice
    after = ApiKey.objects.get()
    assert after.pepper_id != before.pepper_id
    assert after.secret_hash != before.secret_hash
    settings.SECRET_KEY_FALLBACKS = []
    assert keys.authenticate(alice_key).user == alice


def test_a_key_of_a_forgotten_secret_is_refused_and_stays_as_it_is(alice_key, settings):
    before = ApiKey.objects.values().get()
    settings.SECRET_KEY = "a new secret key, as long as it should be, 0123456789"
    assert "server's secret was changed" in refused(alice_key)
    assert ApiKey.objects.values().get() == before


def test_a_refused_key_is_not_moved_to_the_new_secret(alice_key, settings):
    ApiKey.objects.update(revoked_at=timezone.now())
    before = ApiKey.objects.values().get()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new secret key, as long as it should be, 0123456789"
    assert "revoked" in refused(alice_key)
    assert ApiKey.objects.values().get() == before
