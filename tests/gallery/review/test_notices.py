"""Mail to owners about decisions: what is told and to whom, once, later, and whatever the mail server does."""

import smtplib
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import closing
from gallery import erasure, services
from gallery.models import Image, Notice
from gallery.review import decisions, notices, owners
from gallery.review.decisions import Item
from tests.gallery.review.desk import decide, make_pending, make_reviewer, review_of

pytestmark = pytest.mark.django_db
AWAY = {"down": False, "refuses": ()}


class Server(EmailBackend):
    """A mail server that can be away, or know nobody of some names."""

    def send_messages(self, messages):
        if AWAY["down"]:
            raise ConnectionRefusedError("no mail server")
        if any(address in AWAY["refuses"] for message in messages for address in message.to):
            raise smtplib.SMTPRecipientsRefused({})
        return super().send_messages(messages)


@pytest.fixture
def server(settings, mailoutbox):
    settings.EMAIL_BACKEND = f"{__name__}.Server"
    AWAY.update(down=False, refuses=())
    yield AWAY
    AWAY.update(down=False, refuses=())


def after(**time):
    """A moment from now on, by default when nothing can be taken back any more."""
    return timezone.now() + timedelta(**(time or {"seconds": 40}))


def states():
    return list(Notice.objects.order_by("pk").values_list("state", "dropped_because"))


def test_a_refusal_is_mailed_with_its_statement_and_a_link_and_nothing_else(alice, ines, mailoutbox, settings):
    settings.SITE_URL = "https://plantain.example"
    image = make_pending(alice)
    Image.objects.filter(pk=image.pk).update(prompt="CANARY-PROMPT", title="CANARY-TITLE", alt_text="CANARY-ALT")
    decide("reject", ines, image, reason="trademark", note="Remove the sign.")
    assert notices.send_due(timezone.now()) == 0
    assert mailoutbox == []
    assert notices.send_due(after()) == 1
    (sent,) = mailoutbox
    assert (sent.to, sent.subject, sent.content_subtype) == (
        [alice.email],
        "A picture of yours was not published",
        "plain",
    )
    assert (sent.attachments, getattr(sent, "alternatives", [])) == ([], [])
    for part in (
        "Only you can see it.",
        "The picture shows a brand, a trademark or somebody else's work.",
        "Ground: Terms of use: rights of others, version 1",
        "What happened: You asked for the picture to be published. A person looked at it.",
        'The reviewer wrote: "Remove the sign."',
        "Decided by: people",
        "Money: The decision does not change what the picture cost",
        "You can appeal once, until ",
        f"https://plantain.example/images/{image.public_id}/",
    ):
        assert part in sent.body
    assert "CANARY" not in sent.body
    assert "Ines" not in sent.body
    assert "&#x27;" not in sent.body
    assert sent.extra_headers["Message-ID"].endswith("@plantain.example>")


def test_each_decision_is_mailed_once_however_often_it_is_sent_or_asked(alice, ines, mailoutbox):
    image = make_pending(alice)
    version = review_of(image).version
    step = decide("reject", ines, image, reason="spam")
    with pytest.raises(Exception, match="refused this picture"):
        decisions.reject(reviewer=ines, image_id=image.public_id, version=version, reason="spam")
    for _ in range(3):
        notices.send_due(after())
    assert len(mailoutbox) == 1
    assert states() == [("sent", "")]
    with pytest.raises(IntegrityError), transaction.atomic():
        Notice.objects.create(step=step, owner=alice, kind="refused", due_at=timezone.now())


def test_nothing_is_stored_or_sent_of_a_decision_that_did_not_come_about(alice, ines, mailoutbox):
    image = make_pending(alice)
    with transaction.atomic():
        decide("reject", ines, image, reason="spam")
        transaction.set_rollback(True)
    notices.send_due(after())
    assert (states(), mailoutbox) == ([], [])


def test_what_was_taken_back_was_never_told(alice, ines, mailoutbox):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    decide("undo", ines, image)
    decide("approve", ines, image)
    notices.send_due(after())
    assert [sent.subject for sent in mailoutbox] == ["A picture of yours was approved"]
    assert states() == [("dropped", "taken_back"), ("sent", "")]


def test_a_proposal_is_not_told_and_the_quarantine_is(alice, ines, omar, mailoutbox):
    image = make_pending(alice)
    decide("quarantine", ines, image, reason="csam")
    assert states() == []
    decide("quarantine", omar, image, reason="csam")
    notices.send_due(after())
    (sent,) = mailoutbox
    assert sent.subject == "A picture of yours was shut away"
    assert "not even you" in sent.body
    assert "Two people looked at it" in sent.body
    assert "cannot be appealed here" in sent.body


@pytest.mark.parametrize(
    ("verb", "subject", "words"),
    [
        ("reject", "Your appeal was refused", "another person has decided the same"),
        ("approve", "Your appeal was upheld", "another person has decided for you"),
    ],
)
def test_the_answer_to_an_appeal_is_always_mailed(alice, ines, omar, mailoutbox, verb, subject, words):
    alice.hears_of_approvals = False
    alice.save()
    image = make_pending(alice)
    decide("reject", ines, image, reason="trademark")
    notices.send_due(after())
    owners.appeal(owner=alice, public_id=image.public_id, text="CANARY: it is mine.")
    decide(verb, omar, image)
    if verb == "approve":
        decide(verb, make_reviewer("kim"), image)
    notices.send_due(after())
    assert [sent.subject for sent in mailoutbox] == ["A picture of yours was not published", subject]
    assert words in mailoutbox[1].body
    assert "CANARY" not in mailoutbox[1].body


def test_approvals_can_be_switched_off_and_refusals_cannot(alice, ines, mailoutbox, client):
    client.force_login(alice)
    assert client.post("/account/profile/", {"name": "Alice"}).status_code == 302
    decide("approve", ines, make_pending(alice))
    decide("reject", ines, make_pending(alice), reason="spam")
    notices.send_due(after())
    assert [sent.subject for sent in mailoutbox] == ["A picture of yours was not published"]
    assert states() == [("dropped", "not_wanted"), ("sent", "")]
    client.post("/account/profile/", {"name": "Alice", "hears_of_approvals": "on"})
    decide("approve", ines, make_pending(alice))
    notices.send_due(after())
    assert mailoutbox[-1].subject == "A picture of yours was approved"
    assert "/account/profile/" in mailoutbox[-1].body


def test_an_approval_that_is_no_news_is_not_mailed(alice, ines, mailoutbox, settings):
    settings.REVIEW_MODE = "post"
    public = make_pending(alice)  # public at once; the look afterwards changes nothing
    decide("approve", ines, public)
    settings.REVIEW_MODE = "pre"
    withdrawn = make_pending(alice)
    decide("approve", ines, withdrawn)
    owners.withdraw(owner=alice, public_id=withdrawn.public_id)
    notices.send_due(after())
    assert mailoutbox == []
    assert states() == [("dropped", "not_public")]


def test_who_has_no_address_any_more_gets_none(alice, bob, ines, mailoutbox):
    decide("reject", ines, make_pending(alice), reason="spam")
    decide("reject", ines, make_pending(bob), reason="spam")
    closing.close_account(alice)
    notices.send_due(after())
    assert [sent.to for sent in mailoutbox] == [[bob.email]]
    assert states() == [("dropped", "no_address"), ("sent", "")]


def test_of_a_picture_that_is_purged_nothing_is_told(alice, ines, mailoutbox):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    services.trash_image(owner=alice, public_id=image.public_id)
    erasure.purge_trashed(owner=alice, public_id=image.public_id)
    notices.send_due(after())
    assert (mailoutbox, states()) == ([], [("dropped", "purged")])


# --- Many at once -----------------------------------------------------------------------------------


def test_two_hundred_in_one_bulk_are_one_mail_for_each_person(alice, bob, ines, mailoutbox):
    mine, his = [make_pending(alice) for _ in range(180)], [make_pending(bob) for _ in range(20)]
    items = [Item(image_id=image.public_id, version=1) for image in [*mine, *his]]
    results = decisions.decide_many(verb="reject", reviewer=ines, items=items, reason="spam")
    assert not any(result.error for result in results)
    assert notices.send_due(after(minutes=2)) == 2
    assert notices.send_due(after(minutes=2)) == 0
    by_person = {sent.to[0]: sent for sent in mailoutbox}
    sent = by_person[alice.email]
    assert sent.subject == "180 pictures of yours were decided"
    assert sent.body.count("Reason: ") == 1
    assert sent.body.count("/images/") == 180
    assert all(str(image.public_id) in sent.body for image in mine)
    assert not any(str(image.public_id) in sent.body for image in his)
    assert len(sent.body) < 40_000
    assert by_person[bob.email].subject == "20 pictures of yours were decided"


def test_a_mail_waits_for_the_end_of_a_series_but_not_for_ever(alice, ines, mailoutbox):
    first, second = make_pending(alice), make_pending(alice)
    decide("reject", ines, first, reason="spam")
    decide("reject", ines, second, reason="hate")
    now = timezone.now()
    Notice.objects.filter(step__review__image=second).update(due_at=now + timedelta(minutes=1))
    assert notices.send_due(now + timedelta(seconds=50)) == 0
    assert notices.send_due(now + timedelta(seconds=61)) == 1
    assert mailoutbox[0].body.count("Reason: ") == 2
    third, fourth = make_pending(alice), make_pending(alice)
    decide("reject", ines, third, reason="spam")
    decide("reject", ines, fourth, reason="spam")
    Notice.objects.filter(step__review__image=fourth).update(due_at=now + timedelta(hours=1))
    assert notices.send_due(now + timedelta(minutes=6)) == 1
    assert str(third.public_id) in mailoutbox[1].body
    assert str(fourth.public_id) not in mailoutbox[1].body


# --- The mail server --------------------------------------------------------------------------------


def test_while_the_mail_server_is_away_nothing_is_lost(alice, ines, server, mailoutbox):
    image = make_pending(alice)
    server["down"] = True
    decide("reject", ines, image, reason="spam")
    assert notices.send_due(after()) == 0
    assert states() == [("waiting", "")]
    assert not notices.is_any_due(after()), "it rests before the next try"
    server["down"] = False
    assert notices.is_any_due(after(minutes=3))
    assert notices.send_due(after(minutes=3)) == 1
    assert [sent.to for sent in mailoutbox] == [[alice.email]]
    assert Notice.objects.get().tries == 1


def test_an_address_that_is_refused_keeps_nobody_else_waiting_and_is_given_up_after_a_week(
    alice, bob, ines, server, mailoutbox
):
    server["refuses"] = (alice.email,)
    decide("reject", ines, make_pending(alice), reason="spam")
    decide("reject", ines, make_pending(bob), reason="spam")
    assert notices.send_due(after()) == 1
    assert [sent.to for sent in mailoutbox] == [[bob.email]]
    assert states() == [("waiting", ""), ("sent", "")]
    assert notices.send_due(after(days=8)) == 0
    assert states() == [("dropped", "undeliverable"), ("sent", "")]


def test_a_server_that_is_away_is_not_asked_for_everybody(ines, server, monkeypatch):
    from tests.people import make_person

    for number in range(6):
        decide("reject", ines, make_pending(make_person(f"person{number}")), reason="spam")
    server["down"] = True
    tried = []
    monkeypatch.setattr("gallery.review.notices.log.warning", lambda *args, **facts: tried.append(facts))
    notices.send_due(after())
    assert len(tried) == notices.FAILURES


def test_a_process_that_died_while_sending_is_made_up_for_after_its_lease(alice, ines, mailoutbox, monkeypatch):
    decide("reject", ines, make_pending(alice), reason="spam")
    with monkeypatch.context() as patch:

        def die(**_):
            raise KeyboardInterrupt

        patch.setattr("accounts.mail.send", die)
        with pytest.raises(KeyboardInterrupt):
            notices.send_due(after())
    assert notices.send_due(after(minutes=1)) == 0, "somebody may be sending it"
    assert notices.send_due(after(minutes=7)) == 1
    assert len(mailoutbox) == 1


def test_the_same_mail_has_the_same_id_when_it_is_sent_again(alice, ines, mailoutbox):
    decide("reject", ines, make_pending(alice), reason="spam")
    notices.send_due(after())
    # It was sent, and the process died before it could say so.
    Notice.objects.update(state="waiting", sent_at=None, leased_until=timezone.now())
    notices.send_due(after())
    first, second = (sent.extra_headers["Message-ID"] for sent in mailoutbox)
    assert first == second


@pytest.mark.slow
def test_of_eight_who_send_at_once_one_does(race):
    from tests.people import make_person

    ines = make_reviewer("ines")
    for nick in ("alice", "bob"):
        decide("reject", ines, make_pending(make_person(nick)), reason="spam")
    at = after()
    counts = race(8, lambda _: notices.send_due(at))
    assert sum(counts) == 2, counts
    assert sorted(sent.to[0] for sent in mail.outbox) == ["alice@example.com", "bob@example.com"]
    assert states() == [("sent", "")] * 2
