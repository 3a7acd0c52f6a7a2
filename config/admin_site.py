"""The operators' pages at /admin/: Django's admin with our door, our name, and only models that we have registered."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.staff import may_enter

OURS = ("accounts.", "gallery.", "generations.")
NAMES = {
    "ApiKey": "API keys",
    "Entry": "Ledger entries",
    "MoneyRequest": "Money requests (second person)",
}  # Django would say "Api keys" and "Entrys"


class PlantainAdmin(admin.AdminSite):
    """Signing in and out, passwords and second factors are allauth's: the admin has no form of its own for them."""

    site_header = site_title = f"{settings.SITE_NAME} admin"
    index_title = "Operations"
    site_url = "/studio/"
    final_catch_all_view = False  # what is not there is our 404 page, and a forgotten slash is added as anywhere

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take ours only: a library's own would let rows be changed past the verbs that keep them right."""
        if admin_class is not None and admin_class.__module__.startswith(OURS):
            super().register(model_or_iterable, admin_class, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        for model in (model for app in apps for model in app["models"]):
            model["name"] = NAMES.get(model["object_name"], model["name"])
        return apps

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Where whoever may not enter is sent: to sign in, or told that this is not for them."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
            target = resolve_url("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(target)
        if self.has_permission(request):
            return redirect(target)
        if not request.user.is_staff:
            raise PermissionDenied
        messages.warning(request, "Set up an authenticator app first: the operators' pages ask for one.")
        return redirect("mfa_activate_totp")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("account_change_password")
