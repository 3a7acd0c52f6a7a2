"""The forms of the account pages; what they mean is checked by the services that they are handed to."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4

from django import forms
from django.forms.boundfield import BoundField
from django.http import QueryDict
from django.utils import timezone
from django.utils.html import format_html

from accounts.errors import InvalidInput, ServiceError
from accounts.fields import WholeNumberField
from accounts.keys import DEFAULT_SCOPES, MAX_NAME_CHARS, scopes_of_role
from accounts.limits import UNLIMITED
from accounts.models import ApiKey, User
from accounts.money import parse_usd
from accounts.templatetags.plantain import usd
from accounts.users import MAX_NAME_CHARS as MAX_PERSON_NAME_CHARS

SCOPE_LABELS = {
    "generate": ("Generate", "make pictures, name them and bin them; this spends your balance"),
    "read": ("Read", "see your jobs and pictures"),
    "publish": ("Publish", "ask for pictures to be shown to others"),
    "review": ("Review", "decide what is shown"),
    "account": ("Account", "see the balance and the ledger, make and revoke keys"),
}
PERIODS = ((ApiKey.Period.TOTAL, "In all"), (ApiKey.Period.MONTH, "Each month, UTC"))
LIMIT_LABELS = {
    "images_per_day": "Pictures a day",
    "images_per_month": "Pictures a month",
    "concurrent": "Jobs at once",
    "requests_per_minute": "Requests a minute",
}
NEVER, ON_A_DAY = "never", "date"
LIFETIMES = ((NEVER, "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), (ON_A_DAY, "On a day"))


class KeyForm(forms.Form):
    """What may be said of an API key at any time: its name, what it may spend, and its limits."""

    PLACES = {"expires_at": "last_day"}

    name = forms.CharField(
        max_length=MAX_NAME_CHARS,
        label="Name",
        help_text="So that you know it again",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Give the key a name, such as the program that will use it."},
    )
    budget = forms.CharField(
        max_length=30,
        required=False,
        label="Budget in USD",
        help_text="Empty: no limit of its own",
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "decimal"}),
    )
    budget_period = forms.ChoiceField(label="Budget for", choices=PERIODS, initial=ApiKey.Period.TOTAL)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in LIMIT_LABELS.items():
            self.fields[name] = WholeNumberField(
                label=label,
                required=False,
                min_value=1,
                max_value=UNLIMITED - 1,
                widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
                error_messages={"invalid": "Enter a whole number, or nothing for no limit."},
            )

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits of the key's own; None is none. Precondition: the form is valid."""
        return {name: self.cleaned_data[name] for name in LIMIT_LABELS}

    @property
    def period(self) -> str | None:
        """None where there is no budget, whatever the list of periods says. Precondition: the form is valid."""
        return None if self.cleaned_data["budget"] is None else self.cleaned_data["budget_period"]

    @property
    def limit_fields(self) -> list[BoundField]:
        return [self[name] for name in LIMIT_LABELS]

    @property
    def has_limits(self) -> bool:
        """Whether something stands, or is wrong, in one of the limits, so that they are shown opened."""
        return any(field.value() or field.errors for field in self.limit_fields)

    def clean_budget(self) -> int | None:
        """In micro-USD."""
        text = self.cleaned_data["budget"]
        try:
            return parse_usd(text) if text else None
        except InvalidInput as error:
            raise forms.ValidationError(error.message) from None

    def refuse(self, error: ServiceError) -> None:
        """Show what a service refused beside the field that it named."""
        for problem in error.errors:
            place = self.PLACES.get(problem.field, problem.field)
            self.add_error(place if place in self.fields else None, problem.message)
        if not error.errors:
            self.add_error(None, f"{error.message} {error.remedy}")


class NewKeyForm(KeyForm):
    """What a new API key is called, may do, and when it ends; its id comes with the form, so it is made only once."""

    key_id = forms.UUIDField(widget=forms.HiddenInput, required=False, initial=uuid4)
    scopes = forms.MultipleChoiceField(
        label="It may",
        widget=forms.CheckboxSelectMultiple,
        initial=DEFAULT_SCOPES,
        error_messages={"required": "Tick at least one: a key that may do nothing is of no use."},
    )
    lifetime = forms.ChoiceField(label="Ends", choices=LIFETIMES, initial=NEVER)
    last_day = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="It ends with it, UTC",
    )

    def __init__(self, data: QueryDict | None = None, *, user: User) -> None:
        self._sent = None if data is None else data.copy()
        super().__init__(self._sent)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        scopes.choices = [
            (scope, format_html('<b>{}</b> <span class="hint">{}</span>', *SCOPE_LABELS[scope]))
            for scope in scopes_of_role(user)
        ]
        self.fields["last_day"].widget.attrs["min"] = timezone.now().date().isoformat()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.errors.pop("key_id", None)  # without a readable id the key is made all the same, under one of ours
        if cleaned.get("lifetime") == ON_A_DAY and not cleaned.get("last_day") and "last_day" not in self.errors:
            self.add_error("last_day", "Name the day with which it ends.")
        return cleaned

    @property
    def expires_at(self) -> datetime | None:
        """The moment at which the key ends; None is never. Precondition: the form is valid."""
        lifetime, last_day = self.cleaned_data["lifetime"], self.cleaned_data["last_day"]
        if lifetime == NEVER:
            return None
        if lifetime == ON_A_DAY:
            return datetime.combine(last_day, time.max, tzinfo=UTC)
        return timezone.now() + timedelta(days=int(lifetime))

    def refuse(self, error: ServiceError) -> None:
        """As for every form of a key; sent again, this one is a new wish."""
        super().refuse(error)
        if self._sent is not None:
            self._sent["key_id"] = str(uuid4())


def key_form(api_key: ApiKey, data: QueryDict | None) -> KeyForm:
    """The form that changes this key, filled with what it is now."""
    budget = "" if api_key.budget_micros is None else usd(api_key.budget_micros).lstrip("$").replace(",", "")
    period = api_key.budget_period or ApiKey.Period.TOTAL
    limits = {name: getattr(api_key, name) for name in LIMIT_LABELS}
    return KeyForm(data, initial={"name": api_key.name, "budget": budget, "budget_period": period, **limits})


class ProfileForm(forms.Form):
    """How somebody is called, and what they are told by mail."""

    name = forms.CharField(
        max_length=MAX_PERSON_NAME_CHARS,
        required=False,
        label="Name",
        help_text="Shown to you and to the operators",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    hears_of_approvals = forms.BooleanField(
        required=False,
        label="Email me when a picture of mine is approved",
        help_text="Refusals and answers to appeals are always sent",
    )
