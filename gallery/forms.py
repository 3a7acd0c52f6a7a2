"""What people type about their pictures, and how they narrow the library down."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from gallery.models import MAX_TITLE_CHARS, RATIOS, SHAPES, STATES, Collection, ImageQuerySet

MAX_QUERY_CHARS = 200
# A day before and after these is a day, too.
DAYS = [MinValueValidator(date(1970, 1, 1)), MaxValueValidator(date(9000, 1, 1))]


class WordsForm(forms.Form):
    """A picture's title and its alternative text; both may be empty."""

    title = forms.CharField(required=False, max_length=MAX_TITLE_CHARS)
    # Counted by the service: browsers send a line break as two characters.
    alt_text = forms.CharField(required=False)


class FilterForm(forms.Form):
    """The filters of an address; one that makes no sense is left out, as addresses are old, cut or typed."""

    q = forms.CharField(required=False, max_length=MAX_QUERY_CHARS)
    model = forms.CharField(required=False, max_length=100)
    kind = forms.ChoiceField(required=False, choices=[("upload", "Uploads")])
    shape = forms.ChoiceField(required=False, choices=[(shape, shape) for shape in (*SHAPES, *RATIOS)])
    state = forms.ChoiceField(required=False, choices=[(state, state) for state in STATES])
    collection = forms.UUIDField(required=False)
    favourite = forms.ChoiceField(required=False, choices=[("1", "Favourites")])
    since = forms.DateField(required=False, validators=DAYS)
    until = forms.DateField(required=False, validators=DAYS)
    on = forms.DateField(required=False, validators=DAYS)

    def wanted(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


def span_of(filters: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    """After and before when pictures must be made to fit the days of a form, which are UTC's and inclusive."""
    midnight = {name: datetime.combine(filters[name], time.min, UTC) for name in ("since", "until") if name in filters}
    return (
        midnight["since"] - timedelta(microseconds=1) if "since" in midnight else None,
        midnight["until"] + timedelta(days=1) if "until" in midnight else None,
    )


def filtered(images: ImageQuerySet, filters: dict[str, Any], *, collection: Collection | None) -> ImageQuerySet:
    """Those that fit the filters of a form, but for its search."""
    shape = filters.get("shape", "")
    ratio = shape if shape in RATIOS else ""
    after, before = span_of(filters)
    images = images.matching(
        model=filters.get("model", ""),
        aspect_ratio=ratio,
        favourite=True if filters.get("favourite") else None,
        collection=collection,
        created_after=after,
        created_before=before,
    )
    return images.in_state(filters.get("state", "")).of_shape("" if ratio else shape)


class PublicFilterForm(forms.Form):
    """The filters of the public gallery. It searches no prompts: they are their owners' business."""

    model = forms.CharField(required=False, max_length=100)
    kind = forms.ChoiceField(required=False, choices=[("image", "Pictures"), ("video", "Short videos")])
    shape = forms.ChoiceField(required=False, choices=[(shape, shape.capitalize()) for shape in SHAPES])
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    def wanted(self) -> dict[str, Any]:
        """The filters that are set, by name; one that makes no sense is left out."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}
