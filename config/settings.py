"""Every setting, read from the environment; with nothing set it is a working development instance.

Each variable may also come from a file named by NAME_FILE, and from a `.env` file beside manage.py.
docs/settings.md and .env.example list them; wrong combinations are the system checks of config/checks.py.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured


class Env(environ.FileAwareEnv):
    """An empty variable counts as not set, and a value that cannot be read is refused by name."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **options: Any) -> Any:
        if not os.environ.get(var) and not os.environ.get(f"{var}_FILE") and default is not self.NOTSET:
            return default
        try:
            value = super().get_value(var, cast, default, **options)
        except (ValueError, OSError) as error:
            raise ImproperlyConfigured(f"{var} has a value that cannot be read: {error}.") from None
        return value.strip() if isinstance(value, str) else value  # a file ends with a line break


BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
_env_file = Path(env.str("ENV_FILE", str(BASE_DIR / ".env")))
if _env_file.is_file():
    env.read_env(str(_env_file))

# --- Where and what ------------------------------------------------------------------------------

ENVIRONMENT = env.str("ENVIRONMENT", "development")
DEBUG = env.bool("DEBUG", ENVIRONMENT == "development")
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var"))).resolve()
MEDIA_ROOT = DATA_DIR / "media"
SPOOL_DIR = DATA_DIR / "spool"
SITE_NAME = env.str("SITE_NAME", "Plantain")
HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000)
# The name under which this machine reaches itself: HOST may mean every interface, and an IPv6 address has brackets.
_OWN_NAME = "127.0.0.1" if HOST in ("0.0.0.0", "::") else f"[{HOST}]" if ":" in HOST else HOST  # noqa: S104
SITE_URL = env.str("SITE_URL", f"http://{_OWN_NAME}:{PORT}").rstrip("/")


def keep_secret(name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
    """A secret made once and kept in DATA_DIR, so that a restart does not sign everybody out."""
    path = DATA_DIR / "secrets" / name
    try:
        return path.read_text()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    candidate = path.with_name(f"{name}.{secrets.token_hex(8)}")
    candidate.touch(mode=0o600)
    candidate.write_text(make())
    try:
        os.link(candidate, path)  # atomic: of two processes that start together, the slower reads the other's secret
    except FileExistsError:
        pass
    candidate.unlink()
    return path.read_text()


SECRET_KEY = env.str("SECRET_KEY", "") or keep_secret("secret-key")
SECRET_KEY_IS_MADE = not env.str("SECRET_KEY", "")  # refused in production, where several machines must share it
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])


def read_signing_keys(setting: str, text: str) -> dict[str, str]:
    """`id:secret` pairs by id, in their order: the first one signs, and all of them verify."""
    keys: dict[str, str] = {}
    for pair in text.split(","):
        key_id, _, secret = pair.strip().partition(":")
        if not key_id.replace("-", "").isalnum() or not key_id.isascii() or len(secret) < 32 or key_id in keys:
            raise ImproperlyConfigured(
                f"{setting} is a list of id:secret, each id once, each secret of 32 characters or more."
            )
        keys[key_id] = secret
    return keys


def _make_signing_key() -> str:
    return f"{secrets.token_hex(4)}:{secrets.token_urlsafe(48)}"


RECEIPT_SIGNING_KEYS = read_signing_keys(
    "RECEIPT_SIGNING_KEYS",
    env.str("RECEIPT_SIGNING_KEYS", "") or keep_secret("receipt-signing-keys", _make_signing_key),
)
URL_SIGNING_KEYS = read_signing_keys(
    "URL_SIGNING_KEYS", env.str("URL_SIGNING_KEYS", "") or keep_secret("url-signing-keys", _make_signing_key)
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", _OWN_NAME])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- Composition ---------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config.apps.PlantainConfig",
    "accounts",
    "gallery",
    "generations",
    "rest_framework",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "config.apps.PlantainAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",  # the widgets' own templates, which ours stand before
]

MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "accounts.api.throttling.tell_allowance",
    "config.health.ProbeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.middleware.refuse_unknown_hosts",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.guest_sessions.GuestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.middleware.PageErrorsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False  # an API never answers with a redirect: SDKs follow it and turn POST into GET

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["accounts.templatetags.plantain"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.site",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- Static files --------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Named by their content when they have been collected; in development read afresh from where they are written.
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = DEBUG
STORAGES: dict[str, dict[str, Any]] = {
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "config.staticfiles.HashedModulesStorage"
    },
}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database ------------------------------------------------------------------------------------

DATABASES = {"default": env.db_url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'plantain.sqlite3'}")}
_database = DATABASES["default"]
_database["ATOMIC_REQUESTS"] = False  # with IMMEDIATE transactions each GET would take SQLite's one write lock
if _database["ENGINE"] == "django.db.backends.sqlite3":
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    _database["ENGINE"] = "config.sqlite"
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # recursive_triggers: without it REPLACE INTO slips past the append-only triggers of the ledger.
        # secure_delete: what is deleted leaves the file as well; some builds of SQLite do not do it unasked.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON; "
        "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;",
    }
    _database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # a file: threads must see one database
else:
    _database["CONN_MAX_AGE"] = 0  # the ASGI side runs each request in a thread of its own
    if _database["ENGINE"] == "django.db.backends.postgresql":
        # Our queries read a few rows by an index. Compiling one takes longer than it saves; and by default a page of an
        # index is said to cost four times one of the table, as on disks that turn, so that the index is not used.
        _database.setdefault("OPTIONS", {}).setdefault("options", "-c jit=off -c random_page_cost=1.1")

REDIS_URL = env.str("REDIS_URL", "")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # The counters in it go by the ids of people and keys, which another instance has as well.
        "KEY_PREFIX": env.str("REDIS_PREFIX", "plantain"),
        # A Redis that hangs costs a moment, not a request.
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# --- People --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "generations:studio"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = "generations:landing"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_FORMS = {
    "login": "accounts.door.SignInForm",
    "signup": "accounts.door.SignUpForm",
    "add_email": "accounts.door.NewAddressForm",
    "change_password": "accounts.door.OtherPasswordForm",
    "set_password": "accounts.door.FirstPasswordForm",
    "reset_password_from_key": "accounts.door.NewPasswordForm",
}
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
# Not SUPPORTS_CHANGE: only the page of a real sign-up would offer it, which tells whose address is taken.
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_CHANGE_EMAIL = True  # an account has one address; a new one takes its place once it is confirmed
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 15 * 60
# Wrong passwords: 5, then the wait grows. `key` is an address as tried from one IP (accounts/adapter.py), and that IP
# is what the server saw: it alone reads X-Forwarded-For, and from TRUSTED_PROXIES only.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "10/m/ip,5/5m/key,10/h/key,20/d/key",
    # A code is bound to its browser: somebody who changes it needs another one soon.
    "confirm_email": "3/3m/key",
}
MFA_ADAPTER = "accounts.adapter.MfaAdapter"
MFA_FORMS = {"add_webauthn": "accounts.door.AddPasskeyForm"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_TOTP_TOLERANCE = 1  # a code of 30 s before or after: clocks differ
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = ENVIRONMENT == "development"  # http://localhost
# The first credit of an account, and what those of a day (UTC) may come to together; 0 is none.
SIGNUP_CREDIT_USD = env.str("SIGNUP_CREDIT_USD", "1.00")
SIGNUP_DAILY_BUDGET_USD = env.str("SIGNUP_DAILY_BUDGET_USD", "20.00")
SIGNUP_CREDIT_DAYS = env.int("SIGNUP_CREDIT_DAYS", 30)  # what is left of it then goes back; 0: never
SIGNUP_CREDITS_PER_NETWORK = env.int("SIGNUP_CREDITS_PER_NETWORK", 5)
SIGNUP_CREDITS_PER_ASN = env.int("SIGNUP_CREDITS_PER_ASN", 50)
# Besides those that are known as disposable.
SIGNUP_NO_CREDIT_DOMAINS = [domain.strip().lower() for domain in env.list("SIGNUP_NO_CREDIT_DOMAINS", default=[])]
ASN_DATABASE = env.str("ASN_DATABASE", "")  # an MMDB file of providers; without one nothing is counted by provider
# Pictures without an account: how many for a guest, and what all guests of a day (UTC) may cost together; 0 is none.
TRIAL_GENERATIONS = env.int("TRIAL_GENERATIONS", 2)
TRIAL_DAILY_BUDGET_USD = env.str("TRIAL_DAILY_BUDGET_USD", "5.00")
TRIAL_GUESTS_PER_NETWORK = env.int("TRIAL_GUESTS_PER_NETWORK", 20)
TRIAL_GUESTS_PER_ASN = env.int("TRIAL_GUESTS_PER_ASN", 200)
LEDGER_SECOND_PERSON_USD = env.str("LEDGER_SECOND_PERSON_USD", "50.00")

# --- Mail ----------------------------------------------------------------------------------------

vars().update(env.email_url("EMAIL_URL", "consolemail://"))
EMAIL_TIMEOUT = 20  # seconds; a mail server that says nothing holds up nobody for longer
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", f"{SITE_NAME} <plantain@localhost>")

# --- Upstream ------------------------------------------------------------------------------------

_KEY_BY_ENVIRONMENT = {
    "development": "WISDOM_GATE_KEY_DEV",
    "staging": "WISDOM_GATE_KEY_STAGING",
    "production": "WISDOM_GATE_KEY_PROD",
}


def _upstream_keys() -> list[str]:
    names = (_KEY_BY_ENVIRONMENT.get(ENVIRONMENT, ""), "WISDOM_GATE_KEY", "WISDOM_GATE_API_KEY")
    for name in names:
        keys = [key.strip() for key in env.str(name, "").split(",") if key.strip()] if name else []
        if keys:
            return keys
    return []


WISDOM_GATE_KEYS = _upstream_keys()  # primary, then the next one during a rotation
WISDOM_GATE_NATIVE_URL = env.str("WISDOM_GATE_NATIVE_URL", "").rstrip("/")
WISDOM_GATE_CHAT_URL = env.str("WISDOM_GATE_CHAT_URL", "").rstrip("/")
if not WISDOM_GATE_NATIVE_URL and not WISDOM_GATE_CHAT_URL:
    # Both or none: whoever names one address of another upstream must not have its key sent to WisGate by the other.
    WISDOM_GATE_NATIVE_URL = "https://wisgate.ai/v1beta"
    WISDOM_GATE_CHAT_URL = "https://wisdom-gate.juheapi.com/v1"
UPSTREAM_CHAT_AUTH = env.str("UPSTREAM_CHAT_AUTH", "raw")
UPSTREAM_LINK_HOSTS = [host.lower() for host in env.list("UPSTREAM_LINK_HOSTS", default=[])]
UPSTREAM_STREAMING = env.bool("UPSTREAM_STREAMING", True)
EMULATOR = env.bool("EMULATOR", not WISDOM_GATE_KEYS and ENVIRONMENT != "production")
# Where the emulator of this instance listens, and its random key: run.py and shell commands set both.
EMULATOR_URL = env.str("EMULATOR_URL", "")
EMULATOR_KEY = env.str("EMULATOR_KEY", "")
EMULATOR_LATENCY_S = env.str("EMULATOR_LATENCY_S", "0.5")
EMULATOR_FAULTS = env.str("EMULATOR_FAULTS", "")

DEFAULT_IMAGE_SIZE = env.str("DEFAULT_IMAGE_SIZE", "1K" if ENVIRONMENT == "development" else "2K")
UPSTREAM_TIMEOUT_S = env.float("UPSTREAM_TIMEOUT_S", 0.0)  # 0: by size, see catalog.default_timeout_s
UPSTREAM_DEADLINE_S = env.float("UPSTREAM_DEADLINE_S", 180.0)
QUEUE_TIMEOUT_S = env.float("QUEUE_TIMEOUT_S", 900.0)
# 0: never. The emulator's faults are asked for by name, one after the other, and each is to be seen.
UPSTREAM_BREAKER_FAILURES = env.int("UPSTREAM_BREAKER_FAILURES", 0 if EMULATOR else 5)
UPSTREAM_MAX_PAID_ATTEMPTS = env.int("UPSTREAM_MAX_PAID_ATTEMPTS", 2)
UPSTREAM_MAX_RESPONSE_BYTES = 64 * 1024 * 1024  # a 4K PNG is about 25 MB, 33 MB as base64

# --- Work ----------------------------------------------------------------------------------------

WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", 64)
QUEUE_LIMIT = env.int("QUEUE_LIMIT", 2000)
TRASH_DAYS = env.int("TRASH_DAYS", 30)  # 0: nothing goes by itself
GROUNDING_RETENTION_DAYS = env.int("GROUNDING_RETENTION_DAYS", 30)
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 1)  # read by application servers; here only to warn
LEASE_S = 30
HEARTBEAT_S = 10
SWEEP_S = 5
DRAIN_S = 60

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # its own handlers would write what ours redact
CELERY_WORKER_REDIRECT_STDOUTS = False

# --- Pictures ------------------------------------------------------------------------------------

S3_BUCKET = env.str("S3_BUCKET", "")
S3_ENDPOINT_URL = env.str("S3_ENDPOINT_URL", "").rstrip("/")
S3_PUBLIC_ENDPOINT_URL = env.str("S3_PUBLIC_ENDPOINT_URL", "").rstrip("/")  # as browsers reach it, if not by that
S3_REGION = env.str("S3_REGION", "us-east-1")
AWS_ACCESS_KEY_ID = env.str("AWS_ACCESS_KEY_ID", "")
AWS_SECRET_ACCESS_KEY = env.str("AWS_SECRET_ACCESS_KEY", "")
# New pictures go into the first; the others are read too, while pictures are moved from one to the other.
MEDIA_STORES = [name.strip() for name in env.list("MEDIA_STORES", default=["s3"] if S3_BUCKET else ["files"])]
STORAGES["files"] = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
if S3_BUCKET:
    # Of its region even on AWS, whose global address sends a browser on to another origin.
    S3_ENDPOINT_URL = S3_ENDPOINT_URL or f"https://s3.{S3_REGION}.amazonaws.com"
    STORAGES["s3"] = {
        "BACKEND": "gallery.objects.BucketStorage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": S3_ENDPOINT_URL,
            "region_name": S3_REGION,
            "access_key": AWS_ACCESS_KEY_ID or None,  # without keys: the role of this machine
            "secret_key": AWS_SECRET_ACCESS_KEY or None,
        },
    }
STORAGES["default"] = STORAGES.get("".join(MEDIA_STORES[:1]), STORAGES["files"])

# --- Review ---------------------------------------------------------------------------------------

REVIEW_MODE = env.str("REVIEW_MODE", "pre")
REPORTS_TO_REVIEW = env.int("REPORTS_TO_REVIEW", 3)

# --- Delivery ------------------------------------------------------------------------------------

MEDIA_ACCEL_REDIRECT = env.str("MEDIA_ACCEL_REDIRECT", "")  # nginx's internal location of MEDIA_ROOT
SIGNED_ADDRESSES = env.str("SIGNED_ADDRESSES", "off")  # who checks those of private files: off, django or nginx
SECURE_LINK_KEY = env.str("SECURE_LINK_KEY", "")  # nginx's secret for them, shared with nothing else
CDN_URL = env.str("CDN_URL", "").rstrip("/")  # where public copies are fetched; this site without it

# A wish is small: a larger body is refused before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# Files go to the disk, no more of them than a picture may have; DATA_UPLOAD_MAX_MEMORY_SIZE is for other fields.
FILE_UPLOAD_HANDLERS = ["gallery.uploads.CappedUploadHandler"]

# --- REST ----------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.authentication.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.api.throttling.RequestsPerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.api.JsonObjectParser"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_PAGINATION_CLASS": "config.api.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api.problem_response",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plantain",
    "DESCRIPTION": "Pictures from the Nano Banana models: jobs, pictures, limits and money.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": ["config.api.without_trailing_slashes"],
    # Two sets of values with one field name would get names from a hash.
    "ENUM_NAME_OVERRIDES": {
        "VisibilityEnum": ["private", "unlisted", "public"],
        "KindEnum": ["image", "video"],
    },
}

# --- Security ------------------------------------------------------------------------------------

TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "config.error_pages.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "style-src-attr": ["'unsafe-inline'"],  # attributes carry data only: a ratio, a colour, a meter's width
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
if S3_BUCKET:
    # A picture's own address sends the browser on to the bucket.
    _origin = urlsplit(S3_PUBLIC_ENDPOINT_URL or S3_ENDPOINT_URL)
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"].append(f"{_origin.scheme}://{_origin.netloc}")
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["media-src"] = ["'self'", f"{_origin.scheme}://{_origin.netloc}"]
if CDN_URL:
    for _directive in ("img-src", "media-src"):
        _sources = CONTENT_SECURITY_POLICY["DIRECTIVES"].setdefault(_directive, ["'self'"])
        _sources.append("{0.scheme}://{0.netloc}".format(urlsplit(CDN_URL)))
if ENVIRONMENT == "production":
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None

# --- Logs ----------------------------------------------------------------------------------------

LOG_FORMAT = env.str("LOG_FORMAT", "console" if ENVIRONMENT == "development" else "json")
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_PROMPTS = env.str("LOG_PROMPTS", "hash")
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
LOGGING_CONFIG = "config.logging.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL, "prompts": LOG_PROMPTS}
