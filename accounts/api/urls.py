"""Paths below /api/v1/; each answers with and without a trailing slash, never with a redirect."""

from django.urls import re_path

from accounts.api import statements, views

KEY_ID = r"(?P<key_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

urlpatterns = [
    re_path(r"^ledger/?$", statements.LedgerList.as_view(), name="ledger"),
    re_path(r"^ledger/statement/?$", statements.Statement.as_view(), name="statement"),
    re_path(r"^account/usage/?$", statements.Usage.as_view(), name="account-usage"),
    re_path(r"^api-keys/?$", views.ApiKeyList.as_view(), name="api-keys"),
    re_path(rf"^api-keys/{KEY_ID}/?$", views.ApiKeyDetail.as_view(), name="api-key"),
]
