"""Pages of making pictures."""

from django.urls import path

from generations.views import account, history, image, landing, live, studio

app_name = "generations"
urlpatterns = [
    path("", landing.landing, name="landing"),
    path("models/", landing.models, name="models"),
    path("account/", account.account, name="account"),
    path("studio/", studio.studio, name="studio"),
    path("studio/events/", live.events, name="studio_events"),
    path("studio/onboarding/", studio.dismiss_onboarding, name="dismiss_onboarding"),
    path("generations/", history.history, name="history"),
    path("generations/<uuid:public_id>/", history.detail, name="detail"),
    path("generations/<uuid:public_id>/card/", history.card, name="card"),
    path("generations/<uuid:public_id>/cancel/", history.cancel, name="cancel"),
    path("generations/<uuid:public_id>/retry/", history.retry, name="retry"),
    path("images/<uuid:public_id>/", image.image, name="image"),
]
