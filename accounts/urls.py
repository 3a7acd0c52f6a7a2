"""Pages about the person: what belongs to /account/. Signing in and up is allauth's, below /accounts/."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("account/ledger/", views.ledger, name="ledger"),
    path("account/ledger/statement.csv", views.statement_file, {"form": "csv"}, name="statement_csv"),
    path("account/ledger/statement.json", views.statement_file, {"form": "json"}, name="statement_json"),
    path("account/keys/", views.keys, name="keys"),
    path("account/keys/<uuid:public_id>/", views.change_key, name="change_key"),
    path("account/keys/<uuid:public_id>/revoke/", views.revoke_key, name="revoke_key"),
    path("account/profile/", views.profile, name="profile"),
    path("account/theme/", views.theme, name="theme"),
]
