import pytest
from django.urls import reverse

from accounts.models import Price
from generations import catalog

pytestmark = pytest.mark.django_db


def test_a_stranger_sees_what_it_is_and_can_begin(client):
    page = client.get("/").content.decode()
    assert "Say what you see." in page
    assert f'action="{reverse("generations:trial")}"' in page
    assert "$1.00 of credit" in page


def test_without_a_trial_the_prompt_goes_to_the_studio_behind_the_sign_in(client, settings):
    settings.TRIAL_GENERATIONS = 0
    page = client.get("/").content.decode()
    assert f'action="{reverse("generations:studio")}"' in page
    assert "You need an account for it" in page
    answer = client.post("/studio/", {"prompt": "a fox"})
    assert (answer.status_code, "/accounts/login/" in answer["Location"]) == (303, True)


def test_without_a_sign_up_credit_none_is_promised(client, settings):
    settings.SIGNUP_CREDIT_USD = "0"
    assert "of credit" not in client.get("/").content.decode()


def test_somebody_who_is_signed_in_is_in_the_studio(client, alice):
    client.force_login(alice)
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/studio/")


def test_the_emulator_is_named_on_the_page(client, settings):
    assert "The emulator paints." in client.get("/").content.decode()
    settings.EMULATOR = False
    assert "The emulator paints." not in client.get("/").content.decode()


def test_every_model_has_its_sizes_prices_and_shapes(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        page = client.get("/models/").content.decode()
    for model in catalog.offered_models(()):
        assert model.label in page
        assert model.id in page
        for size in model.sizes:
            price = Price.objects.filter(model=model.id, size=size).first()
            assert f"${price.amount_micros / 1_000_000:.3f}" in page
    assert "to be confirmed" in page


def test_a_size_without_a_price_is_said_not_to_be_for_sale(client, guards_off):
    with guards_off():
        Price.objects.filter(size="4K").delete()
    assert "No price is set" in client.get("/models/").content.decode()


def test_the_policy_is_on_the_page(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
