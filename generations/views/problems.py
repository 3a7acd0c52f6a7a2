"""A wish that came by a form, and why it was refused, as the composers show it."""

from dataclasses import dataclass
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from accounts import ledger
from accounts.errors import AccountNeeded, InsufficientCredit, InvalidInput, ServiceError, TrialFull
from accounts.templatetags.plantain import usd
from gallery.errors import PictureRejected, PromptRejected
from generations.forms import Composer, problems_by_field
from generations.hints import Hints, hints_of

# Refusals that stand beside their field; the others stand over the button.
BESIDE_FIELDS = ("prompt", "count", "styles", "grounding", "thinking", "references", "edit_of")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a wish was refused, as the composer shows it."""

    title: str
    message: str
    remedy: str
    fields: dict[str, str]
    status: int
    needs_account: bool = False  # and an account is what would help

    @property
    def others(self) -> dict[str, str]:
        """What is wrong with fields that have no place of their own for it."""
        return {name: message for name, message in self.fields.items() if name not in BESIDE_FIELDS}


# Asked once: whoever has read the hints, or sends the form again, has decided.
PERSONAL = Problem(
    title="Personal data",
    message="There is personal data in the prompt, and the provider of the model would read it.",
    remedy="Mask it, or press the button again to send it as it is.",
    fields={},
    status=HTTPStatus.UNPROCESSABLE_ENTITY,
)


def read_wish(request: HttpRequest, base: Composer) -> tuple[Composer, Hints]:
    """What a form asks for over `base`, its personal data masked if that button was pressed, and the filter's word."""
    composer = Composer.read(request.POST, base)
    hints = hints_of(composer)
    if request.POST.get("personal") == "mask":
        composer = hints.masked
        hints = hints_of(composer)
    return composer, hints


def is_unseen(request: HttpRequest, hints: Hints) -> bool:
    """Whether there is personal data that whoever sends the form has not been asked about."""
    return hints.is_personal and request.POST.get("seen") != hints.seen


def problem_of(error: ServiceError) -> Problem:
    return Problem(
        title=error.title,
        message=_in_words(error),
        remedy=error.remedy,
        fields=problems_by_field(error) if isinstance(error, InvalidInput | PromptRejected | PictureRejected) else {},
        status=error.status,
        needs_account=isinstance(error, AccountNeeded | TrialFull),
    )


def with_wait(answer: HttpResponse, error: ServiceError) -> HttpResponse:
    """The answer, with how long to wait if the error knows it."""
    if error.retry_after is not None:
        answer["Retry-After"] = str(error.retry_after)
    return answer


def _in_words(error: ServiceError) -> str:
    """The message; amounts as people write them."""
    match error:
        case InsufficientCredit(facts={"required": str(required), "available": str(available)}):
            needed, there = (ledger.parse_usd(text, allow_negative=True) for text in (required, available))
            return f"This needs {usd(needed, 3)}, and {usd(there)} is available."
    return error.message
