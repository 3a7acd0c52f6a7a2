"""Logs: structlog and the standard library through one formatter, with one redaction (TRUST S12) at the root.

Whoever logs, our code or a library, ends at the root handler, so nothing is written that has not been redacted.
"""

import hashlib
import logging
import logging.config
import re
import sys
import threading
from collections.abc import Mapping
from types import TracebackType

import structlog
from django.conf import settings
from structlog.typing import EventDict, Processor, WrappedLogger

from accounts.redaction import REDACTED, SECRET_NAME, redact, register_secrets

MAX_VALUE_CHARS = 10_000
# Without CR, LF and their like nobody can write a log line of their own, nor speak to the reader's terminal.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTROL_CHARACTERS_OF_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,  # request_id, generation
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *SHARED,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
LEVELS = {
    "django.request": "ERROR",  # its warnings repeat the status of our own request line
    "django.security.DisallowedHost": "CRITICAL",  # scanners make thousands of tracebacks; the request line tells it
    "uvicorn": "WARNING",  # its farewells and greetings
    "PIL": "INFO",
}
# What brings handlers of its own: without them its lines reach the root's.
LIBRARIES = ("django", "django.server", "uvicorn.error", "celery", *LEVELS)


def configure(options: Mapping[str, str]) -> None:
    """Django's LOGGING_CONFIG: called with settings.LOGGING, whose keys are format, level and prompts."""
    register_secrets(*configured_secrets())
    libraries = {name: {"handlers": [], "propagate": True, "level": LEVELS.get(name, "NOTSET")} for name in LIBRARIES}
    libraries["uvicorn.access"] = {"handlers": [], "propagate": False}  # it writes queries; our request line does not
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"redacted": {"()": formatter, **options}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "redacted"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": libraries,
        }
    )
    structlog.configure(
        processors=PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a record that cannot be formatted would be printed as it is, secrets and all
    sys.excepthook = log_uncaught
    threading.excepthook = lambda args: log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def formatter(*, format: str, level: str, prompts: str) -> logging.Formatter:
    """The one formatter: exceptions become text, everything is redacted, then rendered."""
    render: list[Processor] = [structlog.processors.JSONRenderer()]
    if format == "console":
        render = [indent_exception, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            *([] if prompts == "full" else [hide_prompt]),
            redact_event,
            *render,
        ],
    )


def configured_secrets() -> list[str]:
    """The secrets of this instance, which are hidden wherever they turn up, whatever they look like."""
    passwords = [str(database.get("PASSWORD") or "") for database in settings.DATABASES.values()]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS, *settings.WISDOM_GATE_KEYS, settings.EMULATOR_KEY]
    keys += [*settings.RECEIPT_SIGNING_KEYS.values(), *settings.URL_SIGNING_KEYS.values(), settings.SECURE_LINK_KEY]
    keys.append(settings.METRICS_TOKEN)
    return [*keys, *passwords]


def hide_prompt(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    """Prompts are people's own words: only what tells them apart is logged, unless LOG_PROMPTS=full."""
    if "prompt" in event_dict:
        event_dict.update(prompt_fields(str(event_dict.pop("prompt"))))
    return event_dict


def prompt_fields(prompt: str) -> dict[str, str | int]:
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
    return {"prompt_sha256": digest[:16], "prompt_chars": len(prompt)}


def redact_event(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    exception = event_dict.pop("exception", None)
    clean = {_clean_text(name): _clean(name, value) for name, value in event_dict.items()}
    if exception is not None:
        clean["exception"] = CONTROL_CHARACTERS_OF_LINES.sub(_escape, redact(exception))
    return clean


def indent_exception(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    """No line of an exception's message can then be mistaken for a line of the log."""
    if "exception" in event_dict:
        event_dict["exception"] = "    " + event_dict["exception"].replace("\n", "\n    ")
    return event_dict


def log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    """What would end on stderr unredacted otherwise."""
    if error is None or not issubclass(kind, Exception):
        sys.__excepthook__(kind, error or kind(), traceback)
    else:
        structlog.get_logger(__name__).critical("uncaught_exception", exc_info=(kind, error, traceback))


def _clean(name: object, value: object) -> object:
    if SECRET_NAME.fullmatch(str(name)):
        return REDACTED
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {_clean_text(str(key)): _clean(key, item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(name, item) for item in value]
        case BaseException():
            return _clean_text(repr(value))
        case bytes():
            return _clean_text(value.decode("utf-8", "replace"))
        case _:
            return _clean_text(str(value))


def _clean_text(text: str) -> str:
    text = CONTROL_CHARACTERS.sub(_escape, redact(text))
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]} [{len(text)} characters]"


def _escape(found: "re.Match[str]") -> str:
    return found[0].encode("unicode_escape").decode()
