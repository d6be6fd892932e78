"""Why a door refuses: conditions that each door says in its own dialect."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """The stable codes of CONTRACT §2.1; every one is documented and reachable."""

    INVALID_JSON = "invalid_json"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    MISSING_CREDENTIALS = "missing_credentials"
    INVALID_KEY = "invalid_key"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a code
    TOKEN_WRONG_AUDIENCE = "token_wrong_audience"  # noqa: S105 - a code
    TOKEN_WRONG_TENANT = "token_wrong_tenant"  # noqa: S105 - a code
    MISSING_ROLE = "missing_role"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    RECIPIENT_NOT_ALLOWED = "recipient_not_allowed"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_CANCELABLE = "not_cancelable"
    NOT_RETRYABLE = "not_retryable"
    REQUEST_TIMEOUT = "request_timeout"
    NOT_CHANGEABLE = "not_changeable"
    MESSAGE_TOO_LARGE = "message_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_ERROR = "validation_error"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    INVALID_ATTACHMENT = "invalid_attachment"
    INVALID_MIME = "invalid_mime"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    QUOTA_EXCEEDED = "quota_exceeded"
    SPOOL_FULL = "spool_full"
    STORAGE_LOW = "storage_low"
    DRAINING = "draining"
    CALLERS_UNAVAILABLE = "callers_unavailable"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault: a JSON pointer (RFC 6901) and the rule it breaks, which may be to be there at all."""

    pointer: str
    detail: str
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left of a rate: of ``quota`` messages in ``window`` seconds so many; all of it after ``reset`` seconds."""

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


class Refused(Exception):
    """Nothing was accepted; says what is at fault, whose fault it is and what to do.

    ``sender`` is the address that was refused, where that is why; ``allowance`` the caller's own rate.
    """

    def __init__(
        self,
        condition: Condition,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: int | None = None,
        limit_bytes: int | None = None,
        sender: str = "",
        allowance: Sequence[Allowance] = (),
    ) -> None:
        super().__init__(detail)
        self.condition = condition
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        self.limit_bytes = limit_bytes
        self.sender = sender
        self.allowance = allowance
