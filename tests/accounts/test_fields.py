"""The component that shows a field of a form: label, control, hint and error belong together."""

import re

import pytest
from django import forms
from django.template.loader import render_to_string

from accounts.templatetags.plantain import as_json, browser


class Everything(forms.Form):
    email = forms.EmailField(help_text="We send you a code")
    password = forms.CharField(widget=forms.PasswordInput(attrs={"placeholder": "Password"}))
    name = forms.CharField(widget=forms.TextInput(attrs={"placeholder": "Such as Ines"}))
    words = forms.CharField(widget=forms.Textarea)
    size = forms.ChoiceField(choices=[("1K", "1K")])
    day = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}))
    agreed = forms.BooleanField(label="I agree")
    scopes = forms.MultipleChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.CheckboxSelectMultiple)
    token = forms.CharField(widget=forms.HiddenInput)


def shown(name, data=None, **context):
    form = Everything(data)
    return " ".join(render_to_string("components/field.html", {"field": form[name], **context}).split())


@pytest.mark.parametrize(
    ("name", "dress"),
    [
        ("email", '<input type="email" name="email" [^>]*class="input"'),
        ("password", '<input type="password" name="password" class="input"'),
        ("words", '<textarea name="words" [^>]*class="textarea"'),
        ("size", '<select name="size" class="select"'),
        ("day", '<input type="date" name="day" class="input"'),
        ("agreed", '<input type="checkbox" name="agreed" class="check"'),
    ],
)
def test_every_kind_of_control_has_its_dress_and_its_label(name, dress):
    html = shown(name)
    assert re.search(dress, html)
    assert f'for="id_{name}"' in html or name == "agreed"
    assert "aria-invalid" not in html


def test_a_hint_is_tied_to_the_control_and_may_be_replaced():
    assert 'aria-describedby="id_email_helptext"' in shown("email")
    html = shown("email", hint="Another hint")
    assert '<span class="hint" id="id_email_helptext">Another hint</span>' in html
    assert "We send you a code" not in html


def test_an_error_is_tied_to_the_control_and_what_was_typed_stays():
    html = shown("email", {"email": "nobody"})
    assert 'value="nobody"' in html
    assert 'aria-describedby="id_email_helptext id_email_error"' in html
    assert 'aria-invalid="true"' in html
    assert re.search(r'id="id_email_error" role="alert">.*Enter a valid email address\.', html)


def test_a_password_can_be_shown_and_is_never_sent_back():
    html = shown("password", {"password": "secret words"})
    assert 'data-reveal="id_password" aria-label="Show password"' in html
    assert "secret words" not in html


def test_a_placeholder_that_repeats_the_label_is_left_out():
    assert "placeholder" not in shown("password")
    assert 'placeholder="Such as Ines"' in shown("name")


def test_several_boxes_are_a_group_with_a_legend():
    html = shown("scopes", {"scopes": ["b"]})
    assert '<legend class="label">Scopes</legend>' in html
    assert [("checked" in box) for box in re.findall(r"<input[^>]*>", html)] == [False, True]
    assert re.search(r'<fieldset class="field" aria-describedby="id_scopes_error">', shown("scopes", {}))


def test_a_hidden_field_is_only_itself():
    assert shown("token").startswith('<input type="hidden" name="token"')


def test_what_a_person_typed_is_text():
    assert "<script>" not in shown("name", {"name": '"><script>alert(1)</script>'})


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605 Version/26.0 Safari/604",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15.7; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on macOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("x" * 100, "x" * 40),
        ("", "An unknown browser"),
    ],
)
def test_a_browser_is_named_as_people_know_it(user_agent, name):
    assert browser(user_agent) == name


def test_json_for_an_attribute_is_escaped_there():
    html = render_to_string("mfa/webauthn/reauthenticate.html", {"js_data": {"request_options": {"a": '"><b>'}}})
    assert 'data-options="{&quot;a&quot;: &quot;\\&quot;&gt;&lt;b&gt;&quot;}"' in html
    assert as_json({"a": 1}) == '{"a": 1}'
