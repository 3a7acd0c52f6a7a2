"""What everybody may see: the front page, and the models with their prices."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from accounts import signup_credit
from accounts.guest_sessions import guest_of
from accounts.models import Price
from gallery.models import Image
from gallery.public_tiles import public_pictures
from generations import catalog, trial
from generations.forms import Composer
from generations.hints import Hints
from generations.providers.current import kinds_of
from generations.views.problems import Problem

# The three shapes that people ask for most; the studio has them all.
SHAPES = ("3:2", "1:1", "9:16")
STRIP = 12  # published pictures
EXAMPLE = "Long dunes in late light, one soft shadow line"


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """The front page; people who are signed in are in the studio at once."""
    if request.user.is_authenticated:
        return redirect("generations:studio")
    return front_page(request)


def front_page(
    request: HttpRequest, composer: Composer | None = None, problem: Problem | None = None, hints: Hints | None = None
) -> HttpResponse:
    """With the form as it was sent and what stands against it, if anything does."""
    newest = Image.objects.listed_publicly().with_blob().order_by("-published_order")[:STRIP]
    guest = guest_of(request.session)
    context = {
        "shapes": SHAPES,
        "composer": composer or Composer(prompt=EXAMPLE, aspect_ratio=SHAPES[0]),
        "problem": problem,
        "hints": hints,
        "trial": trial.trial_of(guest) if guest else None,
        "trial_pictures": settings.TRIAL_GENERATIONS if guest or trial.has_room() else 0,
        "signup_credit_micros": signup_credit.offered_micros(),
        "published": public_pictures(list(newest)),
    }
    status = problem.status if problem else HTTPStatus.OK
    response = render(request, "generations/landing.html", context, status=status)
    patch_cache_control(response, private=True, max_age=0, must_revalidate=True)
    return response


def models(request: HttpRequest) -> HttpResponse:
    """Each model with its sizes, shapes and today's prices."""
    prices = {(row.model, row.size): row for row in Price.objects.in_force(timezone.now())}
    rows = [
        {
            "model": model,
            "is_default": model.id == catalog.DEFAULT_MODEL_ID,
            "prices": [(size, prices.get((model.id, size))) for size in model.sizes],
            "quality": model.routes[0].quality,
            "lacks": _lacks(model.capabilities),
            "clip_price": prices.get((model.id, catalog.CLIP_SIZE.name)) if "video" in kinds_of(model) else None,
        }
        for model in catalog.offered_models({name for name, _ in prices})
    ]
    return render(request, "generations/models.html", {"rows": rows})


def _lacks(can: catalog.Capabilities) -> list[str]:
    """What the studio offers and this model does not have, in words."""
    has = {
        "captions": ("TEXT", "IMAGE") in can.modalities,
        "grounding": True in can.grounding,
        "thoughts": True in can.include_thoughts,
        "reference pictures": can.max_references > 0,
        "edits": can.edits,
        "styles": can.styles,
        "seeds": can.seed is not None,
    }
    return [word for word, is_there in has.items() if not is_there]
