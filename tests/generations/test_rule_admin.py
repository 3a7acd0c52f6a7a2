"""The operators' pages of the filter's rules: who may write them, that a change is a version, and a trial."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts import quotas
from gallery.models import Rule
from generations.models import Generation
from tests import people
from tests.generations.test_prompt_filter import wish

pytestmark = pytest.mark.django_db

LIST = "/admin/gallery/rule/"
FORM = {
    "code": "foxes",
    "label": "Foxes",
    "kind": "words",
    "body": "fox\nvixen",
    "action": "flag",
    "category": "spam",
    "risk": "30",
    "note": "too many",
}


@pytest.fixture
def root(db):
    user = people.make_person("root", is_staff=True)
    user.is_superuser = True
    user.save()
    return user


@pytest.fixture
def admin(root):
    return sign_in(root)


def sign_in(user):
    client = Client()
    client.force_login(user)
    return client


def current(code="foxes"):
    return Rule.objects.current().get(code=code)


def test_a_rule_is_written_and_changed_by_versions(admin, root):
    assert admin.post(f"{LIST}add/", FORM).status_code == 302
    first = current()
    assert (first.version, first.is_enabled, first.created_by, first.note) == (1, False, root, "too many")
    change = {**FORM, "body": "fox", "is_enabled": "on", "note": "less"}
    assert admin.post(f"{LIST}{first.pk}/change/", change).status_code == 302
    second = current()
    assert (second.version, second.body, second.is_enabled, second.note) == (2, "fox", True, "less")
    first.refresh_from_db()
    assert (first.body, first.is_enabled) == ("fox\nvixen", False)
    page = admin.get(f"{LIST}{second.pk}/change/").content.decode()
    assert "Version 1: off" in page
    assert "Version 2: in force" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": "(", "kind": "pattern"}, "This is no pattern of RE2"),
        ({"body": "shoes", "kind": "detector"}, "There is no detector"),
        ({"risk": "101"}, "0 to 100"),
        ({"code": "undressing"}, "There is a rule with this code"),
        ({"code": "Two Words"}, "small letters"),
    ],
)
def test_a_rule_that_would_not_work_comes_back_with_what_is_wrong(fields, said, admin):
    count = Rule.objects.count()
    answer = admin.post(f"{LIST}add/", {**FORM, **fields})
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Rule.objects.count() == count


def test_an_older_version_cannot_be_edited(admin):
    admin.post(f"{LIST}add/", FORM)
    old = current()
    admin.post(f"{LIST}{old.pk}/change/", {**FORM, "risk": "31"})
    assert admin.post(f"{LIST}{old.pk}/change/", {**FORM, "risk": "32"}).status_code == 302  # to the index: it is gone
    assert current().risk == 31


def test_operators_look_and_only_whoever_is_let_writes(staff, admin):
    operator = sign_in(staff)
    rule = current("undressing")
    assert operator.get(LIST).status_code == 200
    assert operator.get(f"{LIST}{rule.pk}/change/").status_code == 200
    for address, body in ((f"{LIST}add/", FORM), (f"{LIST}{rule.pk}/change/", FORM), (f"{LIST}{rule.pk}/try/", {})):
        assert operator.post(address, body).status_code == 403
    assert operator.get(f"{LIST}{rule.pk}/try/").status_code == 403
    assert admin.post(f"{LIST}{rule.pk}/delete/", {"post": "yes"}).status_code == 403
    staff.user_permissions.add(*Permission.objects.filter(codename__in=["add_rule", "change_rule"]))
    assert sign_in(staff).post(f"{LIST}add/", FORM).status_code == 302
    assert current().created_by == staff


@pytest.mark.django_db(transaction=True)
def test_a_trial_tells_what_would_change_and_shows_nobodys_words(admin, alice, submit):
    quotas.override_limits(user=alice, concurrent=10)
    for prompt in ("a secret fox", "a fox and a vixen", "a hen", "a nude fox", "a.person@example.com fox"):
        submit(alice, wish=wish(prompt))
    admin.post(f"{LIST}add/", {**FORM, "action": "block"})
    rule = current()
    page = " ".join(admin.get(f"{LIST}{rule.pk}/try/").content.decode().split())
    assert "<b>5</b> of the last 1000 prompts were read. It finds something in <b>4</b>; for <b>4</b> of them" in page
    assert "<tr><td>allow</td><td>block</td><td>2</td></tr>" in page
    assert "<tr><td>flag</td><td>block</td><td>2</td></tr>" in page
    assert "<tr><td>fox</td><td>4</td></tr>" in page
    assert "secret" not in page
    assert "a.person" not in page
    assert current().version == 1
    assert Generation.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_from_its_trial_a_rule_is_switched_on_and_off(admin, alice, submit):
    submit(alice)
    admin.post(f"{LIST}add/", FORM)
    assert admin.post(f"{LIST}{current().pk}/try/").status_code == 302
    assert (current().version, current().is_enabled) == (2, True)
    page = admin.get(f"{LIST}{current().pk}/try/").content.decode()
    assert "compared with not having it" in page
    assert "<tr><td>allow</td><td>flag</td><td>1</td></tr>" in page
    admin.post(f"{LIST}{current().pk}/try/")
    assert (current().version, current().is_enabled) == (3, False)


def test_an_exception_on_trial_frees_what_it_covers(admin, alice, submit):
    submit(alice, wish=wish("a nude fox"))
    admin.post(f"{LIST}add/", {**FORM, "body": "nude fox", "action": "allow"})
    page = admin.get(f"{LIST}{current().pk}/try/").content.decode()
    assert "<tr><td>flag</td><td>allow</td><td>1</td></tr>" in page
