"""Mail that nobody waits for in a form: plain text, in the words of a template, from whoever runs the site."""

from collections.abc import Mapping
from email.utils import formatdate
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from accounts.errors import ServiceUnavailable
from accounts.models import User


def is_reachable(user: User) -> bool:
    """Whether there is an address to write to: closed accounts have a pseudonym in its place, and a guest has one or an
    address that nobody has confirmed."""
    return user.closed_at is None and not user.is_guest and "@" in user.email


def send(*, to: User, template: str, words: Mapping[str, Any], message_id: str) -> None:
    """Send `<template>_subject.txt` and `<template>_message.txt`, filled with `words` and the name of the site.

    `message_id` is one word that names the mail for good, so that one that had to be sent again is known as the same.
    Precondition: no open transaction, for this waits for the mail server. Raises ServiceUnavailable when it takes
    nothing.
    """
    filled = {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL, **words}
    subject = " ".join(render_to_string(f"{template}_subject.txt", filled).split())
    body = render_to_string(f"{template}_message.txt", filled).strip() + "\n"
    headers = {
        "Message-ID": f"<{message_id}@{settings.SITE_URL.partition('://')[2].partition(':')[0] or 'localhost'}>",
        "Date": formatdate(localtime=False),
        "Auto-Submitted": "auto-generated",
    }
    try:
        EmailMessage(subject, body, settings.DEFAULT_FROM_EMAIL, [to.email], headers=headers).send()
    except (SMTPException, OSError) as error:
        raise ServiceUnavailable("The email could not be sent.") from error
