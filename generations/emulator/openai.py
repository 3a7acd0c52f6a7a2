"""What chat completions and the Images API share: the shape of errors, the key, the list of models."""

from generations.emulator.answers import Reply, json_reply
from generations.emulator.offer import IMAGES_MODELS, MODELS
from generations.emulator.order import Refusal

MODELS_CREATED = 1_764_547_200  # 2025-12-01
ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "billing_hard_limit_reached", "Billing hard limit has been reached."),
    403: ("invalid_request_error", "permission_denied", "You are not allowed to use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    408: ("server_error", "timeout", "Request timed out."),
    409: ("invalid_request_error", "conflict", "The resource was changed by another request."),
    422: ("invalid_request_error", "unprocessable", "The request cannot be processed."),
    499: ("server_error", "cancelled", "The request was cancelled."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", "overloaded", "The engine is currently overloaded, please try again later."),
    504: ("server_error", "timeout", "The upstream did not answer in time."),
}


def error_body(kind: str, code: str | None, message: str, param: str | None = None) -> dict:
    """The JSON of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_reply(status: int, message: str = "") -> Reply:
    """The usual error of a status."""
    kind, code, usual = ERRORS[status]
    return json_reply(status, error_body(kind, code, message or usual))


def rate_limit_reply(*, quota: bool) -> Reply:
    """429 for too many requests, or for an empty purse; this protocol says when to retry in headers only."""
    if quota:
        message = "You exceeded your current quota, please check your plan and billing details."
        return json_reply(429, error_body("insufficient_quota", "insufficient_quota", message))
    return json_reply(429, error_body("requests", "rate_limit_exceeded", "Rate limit reached for requests."))


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """400 for a field."""
    return Refusal(400, error_body("invalid_request_error", code, message, param))


def unauthenticated() -> Refusal:
    """401 for a missing or wrong key."""
    return Refusal(401, error_body(*ERRORS[401][:2], ERRORS[401][2]))


def unknown_model(name: object) -> Refusal:
    """404 for a model that is not sold by this protocol."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return Refusal(404, error_body("invalid_request_error", "model_not_found", message, "model"))


def sent_key(authorization: str) -> str:
    """The key of an Authorization header, raw or after Bearer."""
    scheme, _, rest = authorization.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def list_models(name: str | None) -> Reply:
    """GET /v1/models, or one of them."""
    models = [_as_json(model) for model in (*MODELS, *IMAGES_MODELS)]
    if name is None:
        return json_reply(200, {"object": "list", "data": models})
    for model in models:
        if model["id"] == name:
            return json_reply(200, model)
    raise unknown_model(name)


def _as_json(name: str) -> dict:
    owner = "google" if name in MODELS else "openai" if name.startswith("gpt-") else "black-forest-labs"
    return {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": owner}
