"""GPT Image and Flux: off until the operator sets a price, on while there is one, painted by the emulator."""

import json
import re
from dataclasses import replace

import pytest
from django.test import Client
from django.utils import timezone

from accounts import ledger, prices
from accounts.models import Price, Transfer
from generations import catalog, services
from generations.audit import audit
from generations.errors import RetiredModel
from generations.models import Generation
from generations.spec import GenerationSpec
from generations.tasks import run_generation
from tests import people
from tests.generations.emulating import KEY, running_emulator
from tests.generations.fakes import error

pytestmark = pytest.mark.django_db(transaction=True)

GPT = "gpt-image-2"
FLASH = "gemini-3.1-flash-image-preview"


@pytest.fixture
def browser(alice):
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def rest(alice_key):
    return people.client_with(alice_key)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


@pytest.fixture
def emulator(running, settings):
    settings.EMULATOR, settings.EMULATOR_KEY = True, KEY
    settings.EMULATOR_URL = running.url("/v1beta")
    return running


def sell(model, *sizes, micros=70_000):
    for size in sizes:
        Price.objects.create(
            model=model, size=size, amount_micros=micros, cost_micros=micros, valid_from=timezone.now()
        )


def post(rest, **fields):
    return rest.post("/api/v1/generations", {"prompt": "a fox", **fields}, content_type="application/json")


def offered(rest):
    return [model["id"] for model in rest.get("/api/v1/models").json()["results"]]


def in_studio(browser, query=""):
    """The offer that the composer works with, and the model that it has chosen."""
    page = browser.get(f"/studio/{query}").content.decode()
    offer = json.loads(re.search(r'data-offer="([^"]+)"', page)[1].replace("&quot;", '"'))
    return offer, re.search(r'name="model" value="([^"]+)" checked', page)[1]


def test_without_a_price_no_door_offers_it(alice, rest, browser):
    before = ledger.balance_of(alice)
    assert offered(rest) == list(in_studio(browser)[0]) == [FLASH, "gemini-3-pro-image-preview"]
    assert "GPT Image" not in browser.get("/models/").content.decode()
    assert in_studio(browser, f"?model={GPT}")[1] == FLASH
    answer = post(rest, model=GPT, image_size="1K")
    assert (answer.status_code, answer.json()["code"]) == (503, "price_unknown")
    assert answer.json()["detail"].startswith("No price is set for gpt-image-2 at 1K")
    assert browser.post("/studio/", {"prompt": "a fox", "model": GPT, "image_size": "1K"}).status_code == 503
    assert not Generation.objects.exists()
    assert ledger.balance_of(alice) == before


def test_with_a_price_every_door_offers_it_in_the_sizes_that_have_one(rest, browser):
    sell(GPT, "1K", "2K")
    model = next(each for each in rest.get("/api/v1/models").json()["results"] if each["id"] == GPT)
    assert [price["size"] for price in model["prices"]] == ["1K", "2K"]
    assert model["capabilities"]["seed"] is None
    offer, chosen = in_studio(browser, f"?model={GPT}")
    assert chosen == GPT
    assert offer[GPT]["prices"] == {"1K": 70_000, "2K": 70_000}
    assert (offer[GPT]["outputs"], offer[GPT]["references"], offer[GPT]["thinking"]) == (["IMAGE"], 0, [])
    page = browser.get("/models/").content.decode()
    assert "GPT Image 2" in page
    assert "Medium, at every size" in page
    assert post(rest, model=GPT, image_size="4K").json()["code"] == "price_unknown"


def test_withdrawn_it_is_offered_no_more_but_what_is_queued_is_made(alice, rest, browser, upstream, work):
    sell(GPT, "1K")
    queued = Generation.objects.get(public_id=post(rest, model=GPT, image_size="1K").json()["id"])
    prices.withdraw_from_sale(Price.objects.filter(model=GPT))
    assert GPT not in offered(rest)
    assert GPT not in in_studio(browser)[0]
    assert post(rest, model=GPT, image_size="1K").json()["code"] == "price_unknown"
    assert work(queued).status == "succeeded"
    assert ledger.balance_of(alice).spent == 70_000
    assert audit() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grounding", True),
        ("thinking", "high"),
        ("include_thoughts", True),
        ("modalities", ["TEXT", "IMAGE"]),
        ("styles", ["ink", "oil"]),
        ("references", ["0e4ee5ed-7c1f-4fc0-a6dd-6ee6a2a5bd4f"]),
        ("edit_of", "0e4ee5ed-7c1f-4fc0-a6dd-6ee6a2a5bd4f"),
        ("seed", 7),
        ("aspect_ratio", "1:8"),
        ("image_size", "0.5K"),
        ("kind", "video"),
        ("quality", "high"),
    ],
)
def test_what_the_images_api_has_no_place_for_is_refused_by_name(field, value, alice, rest):
    sell(GPT, "1K")
    answer = post(rest, **{"model": GPT, "image_size": "1K", "count": 2, field: value})
    assert answer.status_code == 400
    assert field in [each["field"] for each in answer.json()["errors"]]
    assert not Generation.objects.exists()
    assert ledger.balance_of(alice).held == 0


def test_flux_takes_seeds_but_none_below_zero(rest):
    sell("flux-2-pro", "1K")
    answer = post(rest, model="flux", image_size="1K", seed=-1)
    assert answer.json()["errors"][0]["message"] == (
        "seed -1 is not valid; allowed: a whole number from 0 to 2147483647, or null."
    )


@pytest.mark.parametrize(
    ("model", "fields", "size"),
    [
        (GPT, {"aspect_ratio": "16:9", "count": 2}, (1280, 720)),
        ("gpt-image-1.5", {"aspect_ratio": "3:2"}, (1536, 1024)),
        ("flux-2-pro", {"aspect_ratio": "4:5", "seed": 7}, (896, 1120)),
    ],
)
def test_rest_gets_its_pictures_from_the_emulator(model, fields, size, alice, rest, emulator):
    sell(model, "1K")
    asked = post(rest, model=model, image_size="1K", **fields).json()
    run_generation.run(Generation.objects.get(public_id=asked["id"]).pk)
    found = rest.get(f"/api/v1/generations/{asked['id']}").json()
    assert found["status"] == "succeeded", found["error"]
    assert len(found["images"]) == fields.get("count", 1)
    assert {(image["width"], image["height"]) for image in found["images"]} == {size}
    assert {tuple(image["honoured"].values()) for image in found["images"]} == {(True, True)}
    assert len(found["attempts"]) == 1
    assert ledger.balance_of(alice).spent == 70_000 * len(found["images"])
    assert audit() == []


def test_the_studio_gets_one_from_the_emulator_and_shows_it(alice, browser, emulator):
    sell(GPT, "1K")
    wish = {"prompt": "a fox", "model": GPT, "image_size": "1K", "aspect_ratio": "1:1", "modalities": "IMAGE"}
    answer = browser.post("/studio/", {**wish, "count": "1", "thinking": "off", "grounding": ""})
    assert answer.status_code == 302
    run_generation.run(Generation.objects.get().pk)
    page = browser.get("/studio/").content.decode()
    assert "GPT Image 2" in page
    assert Generation.objects.get().outputs.count() == 1
    # Its picture can be worked on, by a model that can: the composer changes to it.
    image = Generation.objects.get().outputs.get().image
    assert in_studio(browser, f"?edit_of={image.public_id}")[1] == FLASH
    assert in_studio(browser, f"?references={image.public_id}")[1] == FLASH


# --- Retired ---


@pytest.fixture
def retired(monkeypatch, alice, upstream, work):
    """A generation that failed, of a model that was retired since, for which Flash is the replacement."""
    upstream.says(error(400, "INVALID_ARGUMENT"))
    spec = GenerationSpec.parse({"prompt": "an owl", "model": "nano-banana-pro"}, default_image_size="1K")
    generation = work(services.submit(user=alice, spec=spec, source="rest").generation)
    model = replace(catalog.MODELS[spec.model], lifecycle="retired", replacement=FLASH)
    monkeypatch.setattr(catalog, "MODELS", catalog.MODELS | {spec.model: model})
    return generation


def test_a_retired_model_is_refused_with_what_follows_it(rest, retired, browser):
    expected = f'The model "nano-banana-pro" is retired; use "{FLASH}" instead.'
    answer = post(rest, model="nano-banana-pro")
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"field": "model", "message": expected}])
    assert offered(rest) == list(in_studio(browser)[0]) == [FLASH]
    assert "Nano Banana Pro" not in browser.get("/models/").content.decode()
    assert Generation.objects.count() == 1


def test_its_old_generation_is_not_tried_again_but_its_wish_goes_to_the_next_model(rest, retired, browser, alice):
    held = Transfer.objects.count()
    answer = rest.post(f"/api/v1/generations/{retired.public_id}/retry")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "model")
    assert f'use \\"{FLASH}\\" instead' in answer.content.decode()
    assert Transfer.objects.count() == held
    page = browser.get(f"/studio/?again={retired.public_id}").content.decode()
    assert re.search(r'name="model" value="([^"]+)" checked', page)[1] == FLASH
    assert "an owl" in page
    # What was made is still told by its name.
    assert "Nano Banana Pro" in browser.get(f"/generations/{retired.public_id}/").content.decode()
    spec = GenerationSpec.from_canonical(retired.spec)
    with pytest.raises(RetiredModel):
        services.submit(user=alice, spec=spec, source="web")


def test_a_preset_in_an_address_that_names_a_retired_id_opens_what_follows_it(browser):
    sell(GPT, "1K")
    assert in_studio(browser, "?model=dall-e-3")[1] == GPT
    assert in_studio(browser, "?model=gemini-2.5-flash-image")[1] == FLASH
