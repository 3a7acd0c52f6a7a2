"""Form fields that the pages and the admin share."""

from typing import Any

from django import forms

MAX_DIGITS = 20  # more than any limit has


class WholeNumberField(forms.IntegerField):
    """A limit: ASCII digits and nothing else. Django's own takes digits of any script, "1.0", "1_000" and signs too."""

    def to_python(self, value: Any) -> int | None:
        text = "" if value is None else str(value).strip()
        if text in self.empty_values:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return int(text)
