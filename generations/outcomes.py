"""How one upstream call can end: one table for every attempt, whatever the protocol.

Whether anything was charged is the ledger's to say, so these texts never do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Retry = Literal["no", "once", "free", "after_delay", "while_paid_left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One end of a call: what the worker does next, and what the person who asked is told.

    `paid` counts towards the paid attempts and may have cost the operator money; `retry` is what the worker may do by
    itself, `retryable` whether the same wish may be sent again by its owner; `other_upstream` allows another key or
    protocol, because nothing was bought. `statuses` and `signals` are the HTTP statuses and the words of a reply
    (finish and block reasons, error codes) that mean this outcome; `http_status` is the one that our own answer has.
    """

    name: str
    retry: Retry
    paid: bool
    title: str
    message: str
    remedy: str
    http_status: int
    retryable: bool
    other_upstream: bool = False
    statuses: tuple[int, ...] = ()
    signals: tuple[str, ...] = ()

    @property
    def has_pictures(self) -> bool:
        """Whether there is something to keep and to charge for."""
        return self.http_status == 200


NO_PICTURE = "A reply came back without a picture"

_TABLE = (
    Outcome(
        name="ok",
        retry="no",
        paid=True,
        title="The picture is ready",
        message="The picture is ready.",
        remedy="",
        http_status=200,
        retryable=False,
    ),
    Outcome(
        name="partial",
        retry="no",
        paid=True,
        title="Some of the pictures are ready",
        message="Some of the pictures arrived whole, the others did not.",
        remedy="Ask again for those that are missing.",
        http_status=200,
        retryable=False,
    ),
    Outcome(
        name="blocked",
        retry="no",
        paid=False,
        title="The provider declined this prompt",
        message="The provider declined this prompt. Its safety filter stopped the picture.",
        remedy="Change the prompt and try again.",
        http_status=422,
        retryable=False,
        signals=(
            "SAFETY",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "MODEL_ARMOR",
            "JAILBREAK",
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
        ),
    ),
    Outcome(
        name="refused",
        retry="no",
        paid=False,
        title="The provider declined this picture",
        message="The provider declined to make this picture, as it may when it would come close to an existing work.",
        remedy="Describe the picture in other words and try again.",
        http_status=422,
        retryable=False,
        signals=("RECITATION", "IMAGE_RECITATION", "LANGUAGE", "ESCALATION", "PUP_LIMITED_DISABLED"),
    ),
    Outcome(
        name="no_image",
        retry="once",
        paid=True,
        title=NO_PICTURE,
        message="A reply came back without a picture. The provider gave no reason.",
        remedy="Try again. If it stays so, describe the picture in other words.",
        http_status=502,
        retryable=True,
        signals=("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE"),
    ),
    Outcome(
        name="text_only",
        retry="no",
        paid=True,
        title=NO_PICTURE,
        message="A reply came back without a picture. The model answered in words only.",
        remedy="Say in the prompt what the picture shows, and try again.",
        http_status=502,
        retryable=True,
    ),
    Outcome(
        name="cut_short",
        retry="no",
        paid=True,
        title="The reply ended too early",
        message="The provider ended its reply before the picture was there.",
        remedy="Shorten the prompt, or raise the limit of output tokens if you set one, and try again.",
        http_status=502,
        retryable=True,
        signals=("MAX_TOKENS", "CONTINUATION"),
    ),
    Outcome(
        name="truncated",
        retry="once",
        paid=True,
        title="The picture arrived incomplete",
        message="The picture was cut off on its way, so it was not kept.",
        remedy="Try again.",
        http_status=502,
        retryable=True,
    ),
    Outcome(
        name="malformed",
        retry="once",
        paid=True,
        title="The provider's reply could not be read",
        message="The provider's reply could not be read.",
        remedy="Try again. If it happens again, tell the operator the request id.",
        http_status=502,
        retryable=True,
    ),
    Outcome(
        name="not_an_image",
        retry="no",
        paid=True,
        title="What arrived is not a picture",
        message="The provider sent a file that is not a picture, so it was not kept.",
        remedy="Try again. If it happens again, tell the operator the request id.",
        http_status=502,
        retryable=True,
    ),
    Outcome(
        name="too_large",
        retry="no",
        paid=True,
        title="The picture is too large",
        message="The provider sent a picture that is over this server's limits, so it was not kept.",
        remedy="Choose a smaller size and try again.",
        http_status=502,
        retryable=False,
    ),
    Outcome(
        name="invalid",
        retry="no",
        paid=False,
        title="The provider did not accept the request",
        message="The provider did not accept the request as valid.",
        remedy="Change the prompt or the settings. If a plain prompt fails too, tell the operator the request id.",
        http_status=400,
        retryable=False,
        statuses=(400, 404, 413, 422),
    ),
    Outcome(
        name="auth",
        retry="no",
        paid=False,
        title="The operator's upstream key was refused",
        message="The operator's upstream key was refused. Your own key and your request are fine.",
        remedy="Tell the operator; until the key is put right, no picture can be made.",
        http_status=503,
        retryable=False,
        other_upstream=True,
        statuses=(401, 402, 403),
    ),
    Outcome(
        name="rate_limited",
        retry="after_delay",
        paid=False,
        title="The provider is too busy",
        message="The provider is getting too many requests and did not take this one in time.",
        remedy="Wait a minute and try again.",
        http_status=503,
        retryable=True,
        statuses=(429,),
    ),
    Outcome(
        name="unavailable",
        retry="free",
        paid=False,
        title="The provider could not be reached",
        message="The provider could not be reached, or was too busy to answer.",
        remedy="Try again in a few minutes.",
        http_status=503,
        retryable=True,
        other_upstream=True,
        statuses=(503,),
    ),
    Outcome(
        name="redirected",
        retry="no",
        paid=False,
        title="The provider's address has moved",
        message="The provider's address pointed to another place, which this server never follows.",
        remedy="Tell the operator to check the upstream address.",
        http_status=502,
        retryable=False,
    ),
    Outcome(
        name="unknown",
        retry="while_paid_left",
        paid=True,
        title="We could not learn how this one ended",
        message="We could not learn how this one ended: the provider's answer never arrived whole.",
        remedy="Try again.",
        http_status=502,
        retryable=True,
        statuses=(408, 499, 500, 502, 504),
    ),
    Outcome(
        name="picture_gone",  # ours: it is told before a call, and buys nothing
        retry="no",
        paid=False,
        title="A picture that you brought along is gone",
        message="A picture that this wish brought along was deleted for good before the wish was sent.",
        remedy="Ask again with another picture, or without it.",
        http_status=409,
        retryable=False,
    ),
    Outcome(
        name="timeout",
        retry="no",
        # The clock that ran out is ours and buys nothing; the last attempt keeps an outcome of its own.
        paid=False,
        title="This took too long",
        message="The picture was not ready in the time that a generation may take.",
        remedy="Try again, at a smaller size if it happens often.",
        http_status=504,
        retryable=True,
    ),
)

# Answers that brought something which could not be read: an error in the log and a figure of its own for each.
UNREADABLE = frozenset({"malformed", "truncated", "not_an_image"})

OUTCOMES: Mapping[str, Outcome] = MappingProxyType({outcome.name: outcome for outcome in _TABLE})
_BY_STATUS = {status: outcome.name for outcome in _TABLE for status in outcome.statuses}
_BY_SIGNAL = {signal: outcome.name for outcome in _TABLE for signal in outcome.signals}


def outcome_of_status(status: int) -> str:
    """The outcome's name for the HTTP status of an answer that is not a success."""
    if 300 <= status < 400:
        return "redirected"
    # A status that nobody foresaw: 4xx refuses before any work; of the rest it cannot be told what it has cost.
    return _BY_STATUS.get(status, "invalid" if 400 <= status < 500 else "unknown")


def outcome_of_signal(signal: str) -> str | None:
    """The outcome's name for a finish reason, block reason or error code; None for one that no row knows."""
    return _BY_SIGNAL.get(signal)
