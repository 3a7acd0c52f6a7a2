"""The studio: the composer, what came of it, and what was made before."""

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import quotas
from accounts.errors import AccountNeeded, NotFound, ServiceError
from accounts.guest_sessions import open_to_guests
from accounts.models import Price, User
from gallery.screening.rules import refusal_of
from generations import cards, catalog, onboarding, services, trial
from generations.forms import LABELS, LISTS, MAX_COUNT, Composer, new_token
from generations.hints import Hints
from generations.models import Generation
from generations.providers.current import kinds_of
from generations.views.access import person, safe_next, send_to_login, signed_in
from generations.views.problems import PERSONAL, Problem, is_unseen, problem_of, read_wish, with_wait
from generations.views.references import keep_uploads, own_picture, tiles_by_id

FEED = 10  # with the tiles of the rail, a page of less than 50 KB
RAIL = 16
DRAFT = "draft"
EXAMPLES = (
    "Lemons on stoneware, north window light",
    "Cut agate, macro, rose and grey bands",
    "A four-ink poster of circles and steps, no lettering",
    "Layered fjord ridges at dawn, thin mist in the valleys",
)
THINKING = {"off": "Off", "minimal": "Minimal", "high": "High"}
KINDS = {"image": "Picture", "video": "Short video"}
OUTPUTS = {("IMAGE",): "Picture", ("TEXT", "IMAGE"): "Picture and caption"}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model as the composer offers it; prices in micro-USD, by size, without those that nobody has set.

    `price` is that of what the composer asks for, `clip_price` that of a short video.
    """

    model: catalog.Model
    prices: dict[str, int]
    price: int | None
    clip_price: int | None

    @property
    def summary(self) -> str:
        sizes = list(self.prices) or self.model.sizes
        span = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else sizes[0]
        return f"{len(self.model.aspect_ratios)} shapes, {span}"


@open_to_guests
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def studio(request: HttpRequest) -> HttpResponse:
    """The page; a POST asks for a picture."""
    if isinstance(request.user, AnonymousUser):
        if request.method != "POST":
            return send_to_login(request, request.get_full_path())
        # The session ended while somebody was writing: what was typed waits for them behind the sign-in.
        request.session[DRAFT] = Composer.read(request.POST).draft()
        return send_to_login(request, reverse("generations:studio"))
    return _generate(request) if request.method == "POST" else _page(request)


def _generate(request: HttpRequest) -> HttpResponse:
    composer, hints = read_wish(request, Composer())
    try:
        wish = composer.wish()
        quotas.admit_request(user=person(request))
        if hints.verdict.blocking:  # before a file that came along is kept
            raise refusal_of(hints.verdict)
        if uploaded := keep_uploads(request):
            composer = replace(composer, references=(*composer.references, *uploaded))
            wish = composer.wish()
        if is_unseen(request, hints):
            return _answer(request, composer, PERSONAL, hints)
        submission = services.submit(
            user=person(request),
            spec=wish.spec,
            source="web",
            idempotency_key=composer.idempotency_key(wish.spec),
            parent=wish.parent,
        )
    except ServiceError as error:
        return _refusal(request, composer, error, hints)
    if not request.headers.get("HX-Request"):
        return redirect("generations:studio")
    card = cards.make_cards([_run(request, submission.generation.public_id)])[0]
    context = {"card": card, "token": new_token(), **_money(request)}
    return render(request, "generations/_generated.html", context)


def _refusal(request: HttpRequest, composer: Composer, error: ServiceError, hints: Hints) -> HttpResponse:
    if isinstance(error, AccountNeeded):
        request.session[DRAFT] = composer.draft()  # waits behind the sign-up
    return with_wait(_answer(request, composer, problem_of(error), hints), error)


def _answer(request: HttpRequest, composer: Composer, problem: Problem, hints: Hints) -> HttpResponse:
    """The form as it was sent, with what stands against it: the whole page, or its parts by htmx."""
    if not request.headers.get("HX-Request"):
        return _page(request, composer, problem, hints)
    context = {"problem": problem, "token": composer.token, "hints": hints, **_money(request)}
    return render(request, "generations/_refused.html", context, status=problem.status)


def _run(request: HttpRequest, public_id: UUID) -> Generation:
    return cards.runs_of(person(request)).get(public_id=public_id)


def _money(request: HttpRequest) -> dict[str, Any]:
    return trial.wallet_of(person(request))


def _page(
    request: HttpRequest, composer: Composer | None = None, problem: Problem | None = None, hints: Hints | None = None
) -> HttpResponse:
    before = _cursor(request)
    runs = list(_older_than(person(request), before)[: RAIL + 1])
    cards.load_pictures(runs)
    prices = {(row.model, row.size): row.amount_micros for row in Price.objects.in_force(timezone.now())}
    offered = catalog.offered_models({name for name, _ in prices})
    composer = composer or _composer(request, runs)
    money = _money(request)
    sizes, counts = list(catalog.SIZES), range(1, MAX_COUNT + 1)
    if money["trial"]:
        offered, sizes, counts = trial.offered_to_guests(offered, prices), list(trial.SIZES), range(1, 2)
        composer = composer if composer.image_size else replace(composer, image_size=trial.SIZE)
    composer = composer.settled(offered)
    offers = [_offer(model, composer, prices) for model in offered]
    balance = money["balance"]
    can_film = any(offer.clip_price is not None for offer in offers)
    size = catalog.CLIP_SIZE.name if composer.kind == "video" else composer.image_size
    price = prices.get((composer.model, size))
    total = None if price is None else price * int(composer.count)
    tiles = tiles_by_id(person(request), [*composer.references, composer.edit_of, composer.parent])
    steps = None if before or money["trial"] else onboarding.checklist_of(person(request))
    context = {
        "composer": composer,
        "problem": problem,
        "hints": hints,
        "offers": offers,
        "offer_data": json.dumps({offer.model.id: _offer_data(offer) for offer in offers}),
        "kinds": list(KINDS.items()) if can_film or composer.kind == "video" else [],
        "clip_ratios": list(catalog.CLIP_PIXELS),
        "ratios": list(catalog.PIXELS_1K),
        "sizes": sizes,
        "outputs": [(",".join(modalities), label) for modalities, label in OUTPUTS.items()],
        "model_label": cards.model_label(composer.model),
        "price": price,
        "total": total,
        **money,
        "is_short": not money["trial"] and total is not None and total > balance.available,
        "can": catalog.MODELS[composer.model].capabilities,
        "counts": counts,
        "thinking": list(THINKING.items()),
        "brought": [tiles[public_id] for public_id in composer.references if public_id in tiles],
        "edited": tiles.get(composer.edit_of),
        "begun_from": tiles.get(composer.parent),
        "cards": cards.make_cards(runs[:FEED]),
        "days": cards.make_days(runs[:RAIL]),
        "next_before": runs[FEED - 1].public_id if len(runs) > FEED else None,
        "before": before,
        "examples": EXAMPLES,
        "checklist": steps,
    }
    return render(request, "generations/studio.html", context, status=problem.status if problem else HTTPStatus.OK)


def _cursor(request: HttpRequest) -> UUID | None:
    text = request.GET.get("before", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404 from None


def _older_than(user: User, before: UUID | None) -> cards.GenerationQuerySet:
    runs = cards.runs_of(user)
    if before is None:
        return runs
    return runs.filter(pk__lt=Generation.objects.filter(user=user, public_id=before).values("pk"))


def _composer(request: HttpRequest, runs: list[Generation]) -> Composer:
    """The address over a kept draft over the settings of the last job."""
    base = Composer.from_generation(runs[0], with_prompt=False) if runs else Composer()
    if DRAFT in request.session:
        base = Composer.read(request.session.pop(DRAFT), base)
    elif again := request.GET.get("again", ""):
        try:
            base = Composer.from_generation(services.get(user=person(request), public_id=UUID(again)))
        except (ValueError, NotFound):
            raise Http404 from None
    base = _of_edited(request, base)
    sent: dict[str, Any] = {name: request.GET[name] for name in LABELS if name in request.GET}
    lists = {name: request.GET.getlist(name) for name in LISTS if name in request.GET}
    if "references" in lists and not _takes_pictures(base.model):
        base = replace(base, model=catalog.DEFAULT_MODEL_ID)
    return Composer.read(sent | lists, base)


def _takes_pictures(model_id: str) -> bool:
    model = catalog.MODELS.get(model_id)
    return model is not None and model.capabilities.max_references > 0


def _of_edited(request: HttpRequest, base: Composer) -> Composer:
    """In the model, shape and size of the picture that is to be worked on."""
    if "again" in request.GET or not request.GET.get("edit_of"):
        return base
    image = own_picture(person(request), request.GET["edit_of"])
    if image is None:
        raise Http404
    made_by = catalog.MODELS.get(image.model)
    return replace(
        base,
        model=made_by.id if made_by and made_by.capabilities.edits else catalog.DEFAULT_MODEL_ID,
        aspect_ratio=image.aspect_ratio or base.aspect_ratio,
        image_size=image.image_size or base.image_size,
        count="1",
    )


def _offer(model: catalog.Model, composer: Composer, prices: dict[tuple[str, str], int]) -> Offer:
    by_size = {size: prices[model.id, size] for size in model.sizes if (model.id, size) in prices}
    shown = composer.image_size if composer.image_size in by_size else next(iter(by_size), "")
    clip_price = prices.get((model.id, catalog.CLIP_SIZE.name)) if "video" in kinds_of(model) else None
    price = clip_price if composer.kind == "video" else by_size.get(shown)
    return Offer(model=model, prices=by_size, price=price, clip_price=clip_price)


def _offer_data(offer: Offer) -> dict[str, Any]:
    can = offer.model.capabilities
    return {
        "label": offer.model.label,
        "prices": offer.prices,
        "clip": offer.clip_price,
        "clipRatios": list(catalog.CLIP_PIXELS),
        "ratios": offer.model.aspect_ratios,
        "outputs": [",".join(modalities) for modalities in can.modalities],
        "counts": can.count,
        "styles": can.styles,
        "seed": can.seed is not None,
        "grounding": True in can.grounding,
        "thinking": can.thinking,
        "thoughts": True in can.include_thoughts,
        "references": can.max_references,
        "edits": can.edits,
    }


@signed_in
@require_POST
def dismiss_onboarding(request: HttpRequest) -> HttpResponse:
    """Put the first steps away; an empty answer takes the place of the list."""
    onboarding.dismiss(person(request))
    if request.headers.get("HX-Request"):
        return HttpResponse()
    return redirect(safe_next(request, reverse("generations:studio")))
