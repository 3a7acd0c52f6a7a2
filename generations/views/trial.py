"""The trial: a first picture without an account, asked for on the front page, and its end."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import guests, quotas
from accounts.errors import AccountNeeded, ServiceError, TrialFull
from accounts.guest_sessions import bind_guest, forget_guest, guest_of
from gallery.screening.rules import refusal_of
from generations import services, trial
from generations.forms import Composer
from generations.views.landing import front_page
from generations.views.problems import PERSONAL, is_unseen, problem_of, read_wish, with_wait
from generations.views.studio import DRAFT


@never_cache
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Ask for a picture as a guest, who is made with the first one, and show it in the studio."""
    composer, hints = read_wish(request, Composer(image_size=trial.SIZE))
    if request.user.is_authenticated:  # signed in meanwhile, in another tab
        request.session[DRAFT] = composer.draft()
        return redirect("generations:studio")
    try:
        # All that can be refused is, before anybody is made a guest for it.
        spec = composer.spec()
        trial.check_spec(spec)
        if hints.verdict.blocking:
            raise refusal_of(hints.verdict)
        if is_unseen(request, hints):
            return front_page(request, composer, PERSONAL, hints)
        guest = guest_of(request.session)
        if guest is None:
            guest = trial.start(address=request.META.get("REMOTE_ADDR", ""))
            bind_guest(request, guest)
        quotas.admit_request(user=guest)
        services.submit(user=guest, spec=spec, source="web", idempotency_key=composer.idempotency_key(spec))
    except ServiceError as error:
        if isinstance(error, AccountNeeded | TrialFull):
            request.session[DRAFT] = composer.draft()  # waits behind the sign-up
        return with_wait(front_page(request, composer, problem_of(error), hints), error)
    return redirect("generations:studio")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest) -> HttpResponse:
    """Ask whether the trial shall end with all that was made in it, and end it when that is confirmed."""
    guest = guest_of(request.session)
    if guest is None:
        return redirect("generations:landing")
    if request.method != "POST":
        return render(request, "generations/end_trial.html")
    guests.end_guest(guest)
    forget_guest(request.session)
    messages.info(request, "The trial is over, and its pictures are being deleted.")
    return redirect("generations:landing")
