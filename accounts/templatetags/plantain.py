"""What every template may use without loading it: icons, money, durations, and the mark of the current page."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

from django import forms, template
from django.core.serializers.json import DjangoJSONEncoder
from django.forms.boundfield import BoundField, BoundWidget
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from accounts.money import MICROS

register = template.Library()


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """A symbol of static/img/icons.svg; decoration only, the text beside it or an aria-label says the same."""
    sprite = static("img/icons.svg")
    sized = f" icon-{size}" if size else ""
    return format_html('<svg class="icon{}" aria-hidden="true"><use href="{}#i-{}"/></svg>', sized, sprite, name)


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], *view_names: str) -> SafeString | str:
    """`aria-current` when the page is one of these views."""
    match = getattr(context.get("request"), "resolver_match", None)
    return mark_safe(' aria-current="page"') if match and match.view_name in view_names else ""


@register.simple_tag
def control(field: BoundField, hint: str = "", autofocus: bool | str = False) -> SafeString:
    """The widget of a form's field in our dress; components/field.html puts label, hint and error around it."""
    widget = field.field.widget
    names = ((forms.CheckboxInput, "check"), (forms.Select, "select"), (forms.Textarea, "textarea"))
    dress = next((name for kind, name in names if isinstance(widget, kind)), "input")
    parts = (("helptext", hint or field.help_text), ("error", field.errors))
    described = " ".join(f"{field.auto_id}_{part}" for part, is_there in parts if is_there)
    own = widget.attrs.get("class", "")
    return field.as_widget(
        attrs={
            "class": f"{dress} {own}".strip(),
            "aria-describedby": described or False,
            "autofocus": bool(autofocus),
            "placeholder": _placeholder(field),
        }
    )


def _placeholder(field: BoundField) -> str | bool:
    """What stands in an empty control; not what the label says already, and goes on saying while something is typed."""
    text, label = str(field.field.widget.attrs.get("placeholder") or ""), str(field.label)
    return bool(text) and text.lower() not in label.lower() and label.lower() not in text.lower() and text


@register.simple_tag
def options(field: BoundField) -> list[BoundWidget]:
    """The boxes or circles of a field with several, in our dress; each has `tag`, `choice_label` and `id_for_label`."""
    widget = field.field.widget
    parts = widget.subwidgets(field.html_name, field.value(), attrs={"id": field.auto_id, "class": "check"})
    return [BoundWidget(widget, part, field.form.renderer) for part in parts]


@register.filter
def is_a(field: BoundField, kind: str) -> bool:
    """Whether a field is shown as a "password", as one "checkbox", or as a "group" of boxes or circles."""
    widget = field.field.widget
    shown_as = getattr(widget, "input_type", "")
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        shown_as = "group"
    return shown_as == kind


SHAPE_PX = 20.0
THINNEST_PX = 3.0


@register.simple_tag
def shape(aspect_ratio: str) -> SafeString:
    """The outline of an aspect ratio such as "16:9", as a small drawing; extreme ones stay thick enough to be seen."""
    width, height = (float(side) for side in aspect_ratio.split(":"))
    scale = SHAPE_PX / max(width, height)
    width, height = max(width * scale, THINNEST_PX), max(height * scale, THINNEST_PX)
    return format_html(
        '<svg width="24" height="24" viewBox="0 0 24 24" aria-hidden="true"><rect x="{}" y="{}" width="{}" height="{}" '
        'rx="1.5" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>',
        *(f"{figure:.4g}" for figure in (12 - width / 2, 12 - height / 2, width, height)),
    )


@register.filter
def usd(micros: int, places: int = 2) -> str:
    """Micro-USD as an amount in words: at least `places` decimals, and never fewer than the amount has."""
    whole, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(places, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{decimals}"


@register.filter
def duration(milliseconds: int | None) -> str:
    """Milliseconds as people read them: 0.4 s, 18.4 s, 2 min 5 s."""
    if milliseconds is None:
        return ""
    seconds = round(milliseconds / 1000, 1)
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


@register.filter
def elapsed(moment: datetime) -> str:
    """How long ago a moment was: 12 s, 4 min, 3 h 12 min, 5 days."""
    return _span(timezone.now() - moment)


@register.filter
def remaining(moment: datetime) -> str:
    """How long it is until a moment, in the same words."""
    return _span(moment - timezone.now())


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min"
    if not days:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return "1 day" if days == 1 else f"{days} days"


@register.filter
def as_json(value: Any) -> str:
    """For a data attribute that a script reads."""
    return json.dumps(value, cls=DjangoJSONEncoder)


# The first that is found: browsers name the ones that they are descended from too.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox|FxiOS", "Firefox"),
    ("Chrome|CriOS", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@register.filter
def browser(user_agent: str) -> str:
    """A user agent as people know it: "Firefox on Windows"; the beginning of one that is not known."""
    program, system = (
        next((name for sign, name in known if re.search(sign, user_agent)), "") for known in (BROWSERS, SYSTEMS)
    )
    return " on ".join(filter(None, (program, system))) or user_agent[:40] or "An unknown browser"
