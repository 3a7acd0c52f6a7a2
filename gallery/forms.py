"""What people type about their pictures, and how they narrow the library down."""

from typing import Any

from django import forms

from gallery.models import MAX_TITLE_CHARS, SHAPES

MAX_QUERY_CHARS = 200


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
    shape = forms.ChoiceField(required=False, choices=[(shape, shape.capitalize()) for shape in SHAPES])

    def wanted(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


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
