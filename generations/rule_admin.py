"""The operators' pages of the prompt filter's rules: not in the gallery, as a rule is tried on what people ask for."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.errors import InvalidInput, ServiceError
from accounts.models import User
from gallery.models import Rule
from gallery.screening.rules import Wording, category_labels, check_code, check_wording, switch_rule, write_rule
from gallery.screening.trial import try_rule
from generations.models import Generation
from generations.spec import GenerationSpec

TRIED = 1000  # wishes on which a rule is tried


class RuleForm(forms.ModelForm):
    """What is saved is the next version of the rule; the one that is shown stays as it is."""

    class Meta:
        model = Rule
        fields = ("code", "label", "kind", "body", "action", "category", "risk", "is_enabled", "note")
        widgets = {"body": forms.Textarea(attrs={"rows": 12, "cols": 80, "class": "vLargeTextField"})}
        labels = {"is_enabled": "In force", "note": "Why"}
        help_texts = {
            "code": "Small letters, digits and underscores; it stays for ever.",
            "body": "Words: one in a line; word* is a beginning, *part* is anything that holds it, # begins a note. "
            "Close words: two such lists, and between them a line ~ 8. A pattern of RE2 reads the text in small "
            "letters, without accents and look-alikes. Personal data: iban, card, email, national_id or phone. Refused "
            "pictures: a line ~ 4, in how many of 64 bits what is brought along may differ from one that was refused "
            "for the category; no prompt is looked at.",
            "action": "Allow: what lies inside a find is no hit of another rule. Flag: it goes on, and reviewers see "
            "it. Block: it is refused.",
            "risk": "0 to 100: how early a reviewer sees a picture that it has marked; 70 and more is high risk.",
            "note": "For colleagues.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "category" in self.fields:
            labels = category_labels().items()
            self.fields["category"] = forms.ChoiceField(choices=[(code, f"{name} ({code})") for code, name in labels])
        if self.instance.pk and "note" in self.fields:
            self.initial["note"] = ""  # of the version that is to come

    def wording(self) -> Wording:
        names = ("label", "kind", "body", "action", "category", "risk", "is_enabled")
        return Wording(**{name: self.cleaned_data[name] for name in names})

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            try:
                if not self.instance.pk:
                    self._check_new(self.cleaned_data["code"])
                check_wording(self.wording())
            except InvalidInput as error:
                for problem in error.errors:
                    self.add_error(problem.field, problem.message)
        return cleaned

    def _check_new(self, code: str) -> None:
        check_code(code)
        if Rule.objects.filter(code=code).exists():
            raise InvalidInput.of("code", "There is a rule with this code.")


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin):
    """The rules as they are now; to save one is to write its next version, and nothing is ever deleted."""

    form = RuleForm
    list_display = (
        *("code", "label", "kind", "action", "category", "risk", "in_force", "version", "created_by", "created_at"),
        "trial",
    )
    list_filter = ("is_enabled", "action", "kind", "category")
    list_select_related = ("created_by",)
    search_fields = ("code", "label", "body")
    show_full_result_count = False
    readonly_fields = ("trial", "versions")
    save_on_top = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        return cast("QuerySet[Rule]", Rule.objects.current())

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return (*RuleForm.Meta.fields, *(self.readonly_fields if obj else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "code") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Rule, form: RuleForm, change: bool) -> None:
        """Raises Conflict, our page, when a colleague has written another version meanwhile."""
        written = write_rule(
            code=obj.code,
            wording=form.wording(),
            by=cast("User", request.user),
            note=form.cleaned_data["note"],
            version=obj.version if change else 0,
        )
        obj.pk = written.pk
        obj.refresh_from_db()

    def get_urls(self) -> list[URLPattern]:
        trial = self.admin_site.admin_view(self.trial_view)
        return [path("<int:pk>/try/", trial, name="gallery_rule_try"), *super().get_urls()]

    def trial_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the rule would have changed for the last wishes; a POST switches it on or off."""
        rule = self.get_queryset(request).filter(pk=pk).first()
        if not self.has_change_permission(request, rule):
            raise PermissionDenied
        if rule is None:
            raise Http404
        if request.method == "POST":
            return self._switch(request, rule)
        specs = Generation.objects.order_by("-pk").values_list("spec", flat=True)[:TRIED]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Try {rule}",
            "opts": self.opts,
            "rule": rule,
            "trial": try_rule(rule, (GenerationSpec.from_canonical(spec).texts() for spec in specs)),
            "tried": TRIED,
        }
        return render(request, "admin/gallery/rule/try.html", context)

    def _switch(self, request: HttpRequest, rule: Rule) -> HttpResponse:
        try:
            by = cast("User", request.user)
            written = switch_rule(code=rule.code, version=rule.version, is_enabled=not rule.is_enabled, by=by)
        except ServiceError as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect("admin:gallery_rule_changelist")
        switched = "on" if written.is_enabled else "off"
        self.log_change(request, written, f"Switched {switched} as version {written.version}")
        self.message_user(request, f"{written.label} is {'in force' if written.is_enabled else 'off'} now.")
        return redirect("admin:gallery_rule_change", written.pk)

    @admin.display(description="in force", boolean=True)
    def in_force(self, rule: Rule) -> bool:
        return rule.is_enabled

    @admin.display(description="try it")
    def trial(self, rule: Rule) -> SafeString:
        return format_html('<a href="{}">Try it</a>', reverse("admin:gallery_rule_try", args=[rule.pk]))

    @admin.display(description="versions")
    def versions(self, rule: Rule) -> SafeString:
        earlier = Rule.objects.filter(code=rule.code).select_related("created_by").order_by("-version")[:30]
        return format_html_join(
            "",
            "<p>{}: {}, {}, {}{}</p>",
            (
                (
                    f"Version {each.version}",
                    "in force" if each.is_enabled else "off",
                    each.created_by or "came with the software",
                    f"{each.created_at:%Y-%m-%d %H:%M} UTC",
                    f", {each.note}" if each.note and each.created_by else "",
                )
                for each in earlier
            ),
        )
