"""Pages of making pictures."""

from django.urls import path

from generations.views import (
    account,
    costs,
    hints,
    history,
    image,
    landing,
    live,
    money,
    quote,
    references,
    rights,
    search,
    status,
    studio,
    trial,
)

app_name = "generations"
urlpatterns = [
    path("", landing.landing, name="landing"),
    path("models/", landing.models, name="models"),
    path("account/", account.account, name="account"),
    path("account/data/", rights.your_data, name="your_data"),
    path("account/data/export/", rights.request_export, name="request_export"),
    path("account/data/export/<uuid:public_id>.zip", rights.download_export, name="download_export"),
    path("account/data/delete/", rights.delete_account, name="delete_account"),
    path("studio/", studio.studio, name="studio"),
    path("studio/quote/", quote.quote, name="quote"),
    path("studio/hints/", hints.hints, name="hints"),
    path("studio/events/", live.events, name="studio_events"),
    path("studio/onboarding/", studio.dismiss_onboarding, name="dismiss_onboarding"),
    path("studio/references/", references.picker, name="pick_references"),
    path("trial/", trial.begin, name="trial"),
    path("trial/end/", trial.end, name="end_trial"),
    path("status/", status.status, name="status"),
    path("status/costs/", costs.costs, name="costs"),
    path("status/costs/<uuid:public_id>/", costs.resolve_cost, name="resolve_cost"),
    path("status/money/", money.money, name="money"),
    path("status/money/csv/", money.money_csv, name="money_csv"),
    path("status/probe/", status.probe_upstream, name="probe"),
    path("generations/", history.history, name="history"),
    path("generations/<uuid:public_id>/", history.detail, name="detail"),
    path("generations/<uuid:public_id>/card/", history.card, name="card"),
    path("generations/<uuid:public_id>/cancel/", history.cancel, name="cancel"),
    path("generations/<uuid:public_id>/retry/", history.retry, name="retry"),
    path("generations/<uuid:public_id>/search/<int:number>/", search.search, name="search"),
    path("images/upload/", references.upload, name="upload"),
    path("images/<uuid:public_id>/", image.image, name="image"),
]
