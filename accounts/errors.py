"""The errors that any verb of Plantain may raise: a code, an HTTP status, what happened and what to do.

Raised deep, rendered once for each wire (DESIGN 4). This is the lowest room: it imports nothing.
"""


class FieldError:
    """One field of a request that was refused: its dotted path and a sentence."""

    __slots__ = ("field", "message")

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message

    def __repr__(self) -> str:
        return f"FieldError({self.field!r}, {self.message!r})"


class ServiceError(Exception):
    """A verb was refused or failed. `retry_after` is in whole seconds; `facts` are added to the answer's body."""

    code = "error"
    status = 500
    title = "Something went wrong"
    message = "Something went wrong on our side."
    remedy = "Try again. If it happens again, tell the operator the request id."
    retryable = False

    def __init__(
        self,
        message: str | None = None,
        *,
        remedy: str | None = None,
        retry_after: int | None = None,
        errors: tuple[FieldError, ...] = (),
        **facts: object,
    ) -> None:
        self.message = message or self.message
        self.remedy = remedy or self.remedy
        self.retry_after = retry_after
        self.errors = errors
        self.facts = facts
        super().__init__(self.message)


class InvalidInput(ServiceError):
    code = "invalid"
    status = 400
    title = "The request is not valid"
    message = "The request is not valid."
    remedy = "Correct the fields that are named and send it again."

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidInput":
        """The refusal of one field."""
        return cls(message, errors=(FieldError(field, message),))


class NotAuthenticated(ServiceError):
    code = "not_authenticated"
    status = 401
    title = "Sign in first"
    message = "No valid API key or session was sent."
    remedy = "Send an API key as 'Authorization: Bearer KEY' or 'x-goog-api-key: KEY'."


class InsufficientCredit(ServiceError):
    code = "insufficient_credit"
    status = 402
    title = "Not enough credit"
    message = "There is not enough credit for this."
    remedy = "Add credit, or wait for running work to finish if it holds the rest."


class KeyBudgetExceeded(ServiceError):
    code = "key_budget_exceeded"
    status = 402
    title = "The budget of this API key is used up"
    message = "This API key has not enough left of its own budget for this."
    remedy = "Give the key a larger budget, use another key, or wait until its budget begins again."


class Forbidden(ServiceError):
    code = "forbidden"
    status = 403
    title = "Not allowed"
    message = "This key or account may not do that."
    remedy = "Use a key that has the scope, or ask the operator."


class AccountNeeded(ServiceError):
    """A guest asked for what only an account has."""

    code = "account_needed"
    status = 402
    title = "This needs an account"
    message = "The trial does not have this."
    remedy = "Create an account: your pictures and your history stay."


class NotFound(ServiceError):
    code = "not_found"
    status = 404
    title = "Not found"
    message = "There is nothing here for you."
    remedy = "Check the address and that it belongs to your account."


class Conflict(ServiceError):
    code = "conflict"
    status = 409
    title = "Not possible in this state"
    message = "That is not possible in the present state."
    remedy = "Read the resource again and decide anew."


class IdempotencyMismatch(ServiceError):
    code = "idempotency_mismatch"
    status = 422
    title = "The idempotency key was used for another request"
    message = "This Idempotency-Key was sent before with another body."
    remedy = "Use a new key for a new request; send the same body to repeat the old one."


class QuotaExceeded(ServiceError):
    code = "quota_exceeded"
    status = 429
    title = "The quota is used up"
    message = "The quota is used up."
    remedy = "Wait until the quota starts again, or ask the operator for more."


class ConcurrencyLimit(QuotaExceeded):
    code = "concurrency_limit"
    title = "Too many at once"
    message = "Too many generations are running at once."
    remedy = "Wait for one of them to finish."
    retryable = True


class RateLimited(ServiceError):
    code = "rate_limited"
    status = 429
    title = "Too many requests"
    message = "Too many requests in this minute."
    remedy = "Wait for the time that Retry-After tells, then go on more slowly."
    retryable = True


class TrialFull(ServiceError):
    """No more guests today: the day's budget is spent, or this network has had its part."""

    code = "trial_full"
    status = 429
    title = "The trial is full for today"
    message = "Today's pictures without an account are all given away."
    remedy = "Create an account, or come back tomorrow."


class ServiceUnavailable(ServiceError):
    code = "unavailable"
    status = 503
    title = "Not available just now"
    message = "A part of this service does not answer just now. Nothing was charged."
    remedy = "Try again in a little while."
    retryable = True


class PriceUnknown(ServiceUnavailable):
    code = "price_unknown"
    title = "No price is set"
    message = "No price is set for this model and size, so it cannot be sold. Nothing was charged."
    remedy = "Choose another model or size, or ask the operator to set the price."
    retryable = False
