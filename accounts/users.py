"""Accounts of people: each is made in one transaction with a plan and a wallet, by whichever door they come."""

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from accounts import guests, ledger, signup_credit
from accounts.errors import FieldError, InvalidInput, NotFound
from accounts.models import Plan, User
from accounts.operators import make_operator
from accounts.signup_credit import Outcome

DEFAULT_PLAN = "free"
# As the migrations seed them.
DEFAULT_LIMITS = {
    "rank": 10,
    "images_per_day": 40,
    "concurrent": 4,
    "requests_per_minute": 30,
    "storage_bytes": 2 * 1024**3,
}
MAX_EMAIL_CHARS = 254
MAX_NAME_CHARS = 150


def default_plan() -> Plan:
    """The plan of a new account; made again should its row be missing, as in an emptied database."""
    return Plan.objects.get_or_create(name=DEFAULT_PLAN, defaults=DEFAULT_LIMITS)[0]


def get_user(*, email: str) -> User:
    """The user who signs in with this address. Raises NotFound."""
    try:
        return User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        raise NotFound(f"There is no account with the address {email}.") from None


def user_token(user: User) -> str:
    """What an upstream gets where its protocol has a user field: the same for one person, and tells nobody who."""
    return salted_hmac("accounts.user-token", str(user.public_id), algorithm="sha256").hexdigest()[:32]


def create_account(
    *, email: str, password: str, is_staff: bool = False, credit_micros: int | None = None, name: str = ""
) -> User:
    """A new user with a confirmed address and `credit_micros` (by default the sign-up credit; 0 grants none).

    Raises InvalidInput with each refused field.
    """
    if credit_micros is None:
        credit_micros = ledger.parse_usd(settings.SIGNUP_CREDIT_USD)
    user = User(email=User.objects.normalize_email(email), name=name.strip(), is_staff=is_staff)
    _refuse_bad_fields(user, password, credit_micros)
    # Hashed before the transaction opens: it takes long on purpose, and SQLite has one write lock for everybody.
    user.set_password(password)
    with transaction.atomic():
        open_account(user)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        if is_staff:
            make_operator(user)
        if credit_micros:
            _grant_first(user, credit_micros)
    return user


def open_account(user: User) -> None:
    """Store a new user, who has a password by now, with the default plan and a wallet.

    Raises InvalidInput when the address is taken.
    """
    with transaction.atomic():
        user.plan = default_plan()
        _insert(user)
        ledger.open_wallet(user)


def welcome(user: User, *, address: str) -> Outcome:
    """The first address of a user is confirmed: a guest becomes an account, and the sign-up credit comes, or why not.

    Needs the transaction in which the address is confirmed; `address` is the IP address that confirms it.
    """
    guests.welcome_guest(user, default_plan())
    return signup_credit.claim(user, address=address)


def _grant_first(user: User, amount_micros: int) -> None:
    """What an operator gives is out of no budget and does not expire."""
    ledger.grant(user=user, amount_micros=amount_micros, reason="sign-up credit", key=f"signup:{user.public_id}")
    signup_credit.note(user)


def _insert(user: User) -> None:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:  # the same address was taken between the check and here
        raise InvalidInput.of("email", _taken(user.email)) from None


def _refuse_bad_fields(user: User, password: str, credit_micros: int) -> None:
    errors = []
    if problem := _email_problem(user.email):
        errors.append(FieldError("email", problem))
    if len(user.name) > MAX_NAME_CHARS or "\0" in user.name:
        errors.append(FieldError("name", f"A name has at most {MAX_NAME_CHARS} characters and no NUL."))
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors.append(FieldError("password", " ".join(error.messages)))
    if credit_micros < 0:
        errors.append(FieldError("credit", "The credit must not be negative."))
    if errors:
        raise InvalidInput(" ".join(error.message for error in errors), errors=tuple(errors))


def _email_problem(email: str) -> str:
    try:
        validate_email(email)
    except ValidationError:
        return "Enter a valid email address, such as name@example.com."
    if len(email) > MAX_EMAIL_CHARS:
        return f"An email address has at most {MAX_EMAIL_CHARS} characters."
    return _taken(email) if User.objects.filter(email=email).exists() else ""


def _taken(email: str) -> str:
    return f"There is already an account with the address {email}."
