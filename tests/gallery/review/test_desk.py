"""The pages of the reviewers: who enters, what the desk shows and hides, and its verbs as forms."""

import re
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from gallery.desk import Part, mark_hits
from gallery.models import Image, Reveal, Review, ReviewerSettings, ReviewStep
from gallery.review import claims, owners, reports
from tests.gallery.pictures import encode_picture, keep_image
from tests.gallery.review.desk import decide, make_pending, make_reviewer, review_of, state_of
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db
HIT = {"rule": "brands", "version": 41, "class": "trademark", "start": 2, "end": 7, "score": 0.81, "action": "flag"}


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_desk(ines):
    return signed_in(ines)


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


ADDRESSES = ("/review/", "/review/settings/", "/review/figures/")


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_desk_is_not_there_for_others(alice, stranger, at_desk, address, ines):
    assert signed_in(alice).get(address).status_code == 404
    assert stranger.get(address).status_code == 302
    assert at_desk.get(address).status_code == 200
    ines.groups.clear()  # of the staff, but no reviewer
    assert at_desk.get(address).status_code == 404


def test_every_verb_is_closed_to_others(alice, ines):
    image = make_pending(alice)
    client = signed_in(alice)
    for verb in ("decide", "undo", "claim", "skip", "reveal"):
        answer = client.post(f"/review/{image.public_id}/{verb}/", {"verb": "approve", "version": 1})
        assert answer.status_code == 404
    assert client.get(f"/review/{image.public_id}/").status_code == 404
    assert state_of(image)[0] == "pending"


def test_the_desk_shows_the_riskiest_picture_and_holds_it(alice, at_desk, ines):
    make_pending(alice)
    image = make_pending(alice, rule_hits=[HIT])
    answer = at_desk.get("/review/")
    html = answer.content.decode()
    assert f'data-id="{image.public_id}" data-version="1"' in html
    assert review_of(image).claimed_by == ines
    assert '<mark title="brands">solid</mark>' in html
    assert "81 %" in html
    assert "A blue circle." in html
    assert "Marked by a rule" in html
    assert "High risk" in html
    assert "alice@example.com" not in html
    assert "from Alice, 0 approved before, 0 refused" in text_of(answer)
    assert answer.headers["Cache-Control"].count("no-store") == 1
    for key in "arsjkn12345678":
        assert f'data-key="{key}"' in html
    assert 'data-blur="on" data-grey="on"' in html


def test_an_empty_desk_says_so(at_desk):
    answer = at_desk.get("/review/")
    assert "Nothing waits for you" in text_of(answer)
    assert at_desk.get("/review/", headers={"HX-Request": "true"}).status_code == 204


def test_a_form_decides_and_the_next_picture_follows(alice, at_desk, ines):
    first, second = make_pending(alice), make_pending(alice)
    at_desk.get("/review/")
    answer = at_desk.post(
        f"/review/{first.public_id}/decide/", {"verb": "reject", "version": 1, "reason": "hate", "note": "No."}
    )
    assert (answer.status_code, answer.url) == (302, "/review/")
    step = ReviewStep.objects.last()
    assert (step.verb, step.actor, step.reason.code, step.note) == ("reject", ines, "hate", "No.")
    page = at_desk.get("/review/").content.decode()
    assert f'data-id="{second.public_id}" data-version' in page
    assert f'action="/review/{first.public_id}/undo/"' in page
    answer = at_desk.post(f"/review/{first.public_id}/undo/", {"version": 2})
    assert answer.url == f"/review/{first.public_id}/"
    assert state_of(first)[0] == "pending"


def test_a_refusal_without_a_reason_and_a_stale_version_are_told_to_the_script(alice, at_desk, omar):
    image = make_pending(alice)
    script = {"headers": {"HX-Request": "true"}}
    answer = at_desk.post(f"/review/{image.public_id}/decide/", {"verb": "reject", "version": 1}, **script)
    assert (answer.status_code, answer.json()["message"][:18]) == (400, "A reason is needed")
    decide("approve", omar, image)
    answer = at_desk.post(f"/review/{image.public_id}/decide/", {"verb": "approve", "version": 1}, **script)
    assert answer.status_code == 409
    assert answer.json()["message"].startswith("Omar approved this picture at ")
    for wrong in ({"verb": "delete", "version": 1}, {"verb": "approve", "version": "one"}, {"verb": "approve"}):
        assert at_desk.post(f"/review/{image.public_id}/decide/", wrong, **script).status_code == 400


def test_the_script_gets_the_next_picture_that_it_has_not(alice, at_desk, ines):
    first, second = make_pending(alice), make_pending(alice)
    at_desk.get("/review/")
    answer = at_desk.get("/review/", {"not": [str(first.public_id), "no id"]}, headers={"HX-Request": "true"})
    assert f'data-id="{second.public_id}"' in answer.content.decode()
    assert "<html" not in answer.content.decode()
    assert Review.objects.filter(claimed_by=ines).count() == 2


def test_a_skipped_picture_is_free_for_others_and_comes_back(alice, at_desk, omar):
    first, second = make_pending(alice), make_pending(alice)
    at_desk.get("/review/")
    assert at_desk.post(f"/review/{first.public_id}/skip/").url == "/review/"
    assert f'data-id="{second.public_id}" data-version' in at_desk.get("/review/").content.decode()
    assert review_of(first).claimed_by is None
    assert at_desk.post("/review/back/").url == f"/review/{first.public_id}/"
    at_desk.post(f"/review/{first.public_id}/skip/")
    at_desk.post(f"/review/{second.public_id}/skip/")
    assert f'data-id="{first.public_id}" data-version' in at_desk.get("/review/").content.decode()


def test_a_claim_is_renewed_and_another_ones_is_refused(alice, at_desk, omar, ines):
    image = make_pending(alice)
    at_desk.get("/review/")
    answer = at_desk.post(f"/review/{image.public_id}/claim/", headers={"HX-Request": "true"})
    assert answer.json() == {"left_s": 600, "version": 1}
    other = signed_in(omar).post(f"/review/{image.public_id}/claim/", headers={"HX-Request": "true"})
    assert (other.status_code, other.json()["code"]) == (409, "claim_lost")


def test_the_second_person_is_not_shown_what_the_first_proposed(alice, ines, omar):
    image = make_pending(alice)
    decide("reject", ines, image, reason="extremism", note="A flag in the corner.")
    page = text_of(signed_in(omar).get(f"/review/{image.public_id}/"))
    assert "Second look" in page
    assert "A flag in the corner." not in page
    assert "Ines" not in page


def test_an_appeal_shows_its_text_and_the_reason_it_is_against(alice, ines, omar):
    image = make_pending(alice)
    decide("reject", ines, image, reason="trademark")
    owners.appeal(owner=alice, public_id=image.public_id, text="It is <my> own sign.")
    page = signed_in(omar).get(f"/review/{image.public_id}/").content.decode()
    assert "It is &lt;my&gt; own sign." in page
    assert "Refused: brand or trademark, Ines" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def test_reviewers_set_the_desk_for_themselves(at_desk, ines, alice):
    answer = at_desk.post("/review/settings/", {"is_grey": "on", "avoided": ["csam", "violence"]})
    assert answer.status_code == 302
    row = ReviewerSettings.objects.get(user=ines)
    assert (row.blurs, row.is_grey, row.has_single_keys, row.avoided) == (False, True, False, ["csam", "violence"])
    make_pending(alice)
    page = at_desk.get("/review/").content.decode()
    assert 'data-blur="off"' in page
    assert "data-key" not in page
    assert at_desk.post("/review/settings/", {"avoided": ["ugly"]}).status_code == 400
    assert ReviewerSettings.objects.get(user=ines).avoided == ["csam", "violence"]


def test_uncovering_high_risk_pictures_is_counted_and_a_break_advised(alice, at_desk, ines):
    calm, risky = make_pending(alice), make_pending(alice, rule_hits=[HIT])
    for image, count in ((calm, 0), (risky, 1)):
        answer = at_desk.post(f"/review/{image.public_id}/reveal/", headers={"HX-Request": "true"})
        assert answer.json() == {"reveals": count, "needs_break": False}
    Reveal.objects.bulk_create(Reveal(user=ines, review=review_of(risky)) for _ in range(49))
    assert "Time for a break" in text_of(at_desk.get("/review/"))
    Reveal.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    assert "Time for a break" not in text_of(at_desk.get("/review/"))


def test_the_bytes_of_what_waits_are_for_reviewers_and_never_kept(alice, bob, ines, at_desk, tmp_path):
    image = keep_image(alice, tmp_path, encode_picture(), caption="A disc.")
    address = f"/api/v1/images/{image.public_id}/file"
    assert at_desk.get(address).status_code == 404, "a private picture is nobody's business"
    owners.request_publication(owner=alice, public_id=image.public_id, visibility="public")
    answer = at_desk.get(address)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-store")
    assert signed_in(alice).get(address).headers["Cache-Control"] == "private, max-age=300"
    assert signed_in(bob).get(address).status_code == 404
    decide("quarantine", ines, image, reason="csam")
    assert signed_in(alice).get(address).status_code == 200
    decide("quarantine", make_reviewer("omar"), image, reason="csam")
    assert signed_in(alice).get(address).status_code == 404
    assert at_desk.get(address).status_code == 200


QUERIES = 8  # of a page, whatever it shows
SCRIPT = {"headers": {"HX-Request": "true"}}


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("kind", ["request", "report", "appeal", "second_look"])
def test_the_desk_takes_eight_queries_however_much_waits(
    alice, bob, ines, omar, at_desk, settings, count, kind, django_assert_max_num_queries
):
    settings.REPORTS_TO_REVIEW = 1
    images = [make_pending(alice, rule_hits=[HIT]) for _ in range(count)]
    first = images[0]
    match kind:
        case "report":
            decide("approve", omar, first)
            reports.report(viewer=bob, address="", public_id=first.public_id, reason="spam", note="Look.")
        case "appeal":
            decide("reject", omar, first, reason="trademark")
            owners.appeal(owner=alice, public_id=first.public_id, text="It is mine.")
        case "second_look":
            decide("reject", omar, first, reason="extremism")
    Review.objects.filter(image=first).update(risk=100)
    with django_assert_max_num_queries(QUERIES):
        page = at_desk.get("/review/").content
    assert f'data-id="{first.public_id}" data-version'.encode() in page
    assert len(page) < 51_200
    with django_assert_max_num_queries(QUERIES):
        assert at_desk.get(f"/review/{first.public_id}/").status_code == 200
    with django_assert_max_num_queries(QUERIES):
        assert f'data-id="{first.public_id}"' in at_desk.get("/review/", **SCRIPT).content.decode()
    with django_assert_max_num_queries(QUERIES + 2):  # and the two of the test's own savepoint
        assert at_desk.get(f"/review/{first.public_id}/", **SCRIPT).status_code == 200


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("address", ["/review/settings/", "/review/figures/"])
def test_settings_and_figures_take_eight_queries(alice, ines, at_desk, count, address, django_assert_max_num_queries):
    images = [make_pending(alice, rule_hits=[HIT]) for _ in range(count)]
    reviewers = [ines, *(make_reviewer(f"reviewer{index}") for index in range(3))]
    for index, image in enumerate(images[: count - 1]):
        Reveal.objects.create(user=reviewers[index % 4], review=review_of(image))
        decide("approve", reviewers[index % 4], image)
    with django_assert_max_num_queries(QUERIES):
        assert at_desk.get(address).status_code == 200


def test_in_production_the_desk_takes_no_more_queries(alice, ines, at_desk, settings, django_assert_max_num_queries):
    make_pending(alice)
    settings.ENVIRONMENT = "production"
    assert at_desk.get("/review/").status_code == 404
    Authenticator.objects.create(user=ines, type="totp", data={})
    with django_assert_max_num_queries(QUERIES):
        assert at_desk.get("/review/").status_code == 200


def test_the_list_of_appeals_brings_appeals_to_the_stage(alice, omar, at_desk):
    risky, appealed = make_pending(alice, rule_hits=[HIT]), make_pending(alice)
    decide("reject", omar, appealed, reason="trademark")
    owners.appeal(owner=alice, public_id=appealed.public_id, text="It is mine.")
    page = at_desk.get("/review/?only=appeals").content.decode()
    assert f'data-id="{appealed.public_id}" data-version' in page
    assert str(risky.public_id) not in page
    assert 'data-next="/review/?only=appeals"' in page
    answer = at_desk.get("/review/", {"only": "appeals", "not": [str(appealed.public_id)]}, **SCRIPT)
    assert answer.status_code == 204


def test_behind_a_list_of_pictures_that_are_all_held_the_next_one_is_found(alice, omar, at_desk, monkeypatch):
    monkeypatch.setattr("gallery.desk.IN_LIST", 2)
    first, second, third = (make_pending(alice) for _ in range(3))
    for image in (first, second):
        claims.claim(reviewer=omar, image_id=image.public_id)
    assert f'data-id="{third.public_id}" data-version' in at_desk.get("/review/").content.decode()


@pytest.mark.parametrize(
    ("spans", "parts"),
    [
        ([], [Part("A red sign")]),
        ([(2, 5)], [Part("A "), Part("red", "r"), Part(" sign")]),
        ([(2, 5), (0, 3)], [Part("A r", "r"), Part("ed", "r"), Part(" sign")]),
        ([(6, 99), (-5, 1)], [Part("A", "r"), Part(" red "), Part("sign", "r")]),
        ([(5, 2), ("x", 3), (4, None)], [Part("A red sign")]),
    ],
)
def test_hits_are_marked_whatever_their_spans_are(spans, parts):
    hits = [{"rule": "r", "start": start, "end": end} for start, end in spans]
    assert mark_hits("A red sign", hits) == parts


def test_what_is_held_by_a_colleague_is_told_in_the_queue(alice, at_desk, omar):
    image = make_pending(alice)
    make_pending(alice)
    claims.claim(reviewer=omar, image_id=image.public_id)
    assert "Publish request, somebody looks at it" in text_of(at_desk.get("/review/"))


HOSTILE = [
    {"uri": "https://example.org/sign?a=1&b=2", "name": "<b>Signs</b>"},
    {"uri": "http://example.org/plain", "name": "not encrypted"},
    {"uri": "javascript:alert(1)", "name": "runs"},
    {"uri": "https://user:secret@example.org/", "name": "with a password"},
    {"uri": "https://", "name": "of nobody"},
    {"name": "nowhere"},
]


def test_the_pages_that_a_search_found_are_links_that_give_nothing_away(alice, at_desk, ines):
    image = make_pending(alice)
    Image.objects.filter(pk=image.pk).update(sources=HOSTILE)
    html = at_desk.get("/review/").content.decode()
    link = (
        '<a href="https://example.org/sign?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow" dir="auto">'
    )
    assert f"{link}&lt;b&gt;Signs&lt;/b&gt;</a>" in html
    for name in ("not encrypted", "runs", "with a password", "of nobody", "nowhere"):
        assert name not in html
    found = client_with(make_key(ines, "review")).get("/api/v1/review").json()["results"][0]["sources"]
    assert found == [HOSTILE[0]]


def test_the_stage_tells_how_long_a_picture_waits_and_what_was_promised(alice, at_desk):
    image = make_pending(alice)
    now = timezone.now()
    Review.objects.update(queued_at=now - timedelta(hours=3, seconds=5), due_at=now + timedelta(hours=21, seconds=5))
    assert "Waits 3 h , due within 21 h" in text_of(at_desk.get(f"/review/{image.public_id}/"))
    Review.objects.update(queued_at=now - timedelta(hours=30), due_at=now - timedelta(hours=6, seconds=5))
    assert "Waits 1 day , promised 6 h ago" in text_of(at_desk.get(f"/review/{image.public_id}/"))
