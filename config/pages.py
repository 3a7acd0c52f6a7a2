"""Pages of the house itself: help that other answers point to, the form that waits for its sender, the style guide."""

import re

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from accounts.errors import NotFound
from config import error_pages, reference

LENGTHS = {
    "Type": ("t-11", "t-12", "t-13", "t-14", "t-16", "t-20", "t-26"),
    "Space": ("s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-8", "s-12"),
    "Radius": ("r-1", "r-2", "r-3", "r-4", "r-full"),
    "Shadow": ("shadow-1", "shadow-2", "shadow-3"),
}
BUTTONS = (("btn-primary", "Primary"), ("", "Plain"), ("btn-quiet", "Quiet"), ("btn-danger", "Danger"))
ICON = re.compile(r'<symbol id="i-([a-z-]+)"')
COLOUR = re.compile(r"^  --([a-z0-9-]+): (?:light-dark\(|#)", re.MULTILINE)


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    return render(request, "docs/errors.html", {"groups": reference.groups()})


@require_safe
def error(request: HttpRequest, code: str) -> HttpResponse:
    """The page that `type` of every problem+json names. Raises NotFound for a code that nothing answers with."""
    entry = reference.find(code)
    if entry is None:
        raise NotFound(f"No error has the code {code[:40]}.", remedy="The list of errors has all that there are.")
    return render(request, "docs/error.html", {"entry": entry})


@require_safe
def upstream_key(request: HttpRequest) -> HttpResponse:
    return render(request, "docs/upstream_key.html")


@login_required
@require_safe
def unsent(request: HttpRequest) -> HttpResponse:
    """The form that its sender had to sign in for; it stays until another takes its place or the session ends."""
    form = request.session.get(error_pages.UNSENT)
    if form is None:
        return redirect("generations:studio")
    return error_pages.render_unsent(request, action=form["action"], fields=form["fields"])


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in every state, for those who build pages. Raises NotFound for everybody else."""
    if not (settings.DEBUG or request.user.is_staff):
        raise NotFound
    static = settings.BASE_DIR / "static"
    context = {
        "colours": COLOUR.findall((static / "css/tokens.css").read_text().partition("@media")[0]),
        "icons": ICON.findall((static / "img/icons.svg").read_text()),
        "lengths": LENGTHS,
        "buttons": BUTTONS,
    }
    return render(request, "styleguide.html", context)


def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for it beside answers that are no pages, such as JSON."""
    return redirect(static("img/mark.svg"), permanent=False)
