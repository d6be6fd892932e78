"""One table: every condition under which a door refuses, in the dialect of each door, and its page of documentation.

The dialect of REST is RFC 9457 (``application/problem+json``); CONTRACT §2.1 fixes codes and statuses.
"""

from dataclasses import dataclass
from html import escape
from typing import Final

from pydantic_core import to_json

from posthouse.refusal import Condition, Refused

MEDIA_TYPE: Final = "application/problem+json"
PAGES: Final = "/docs/problems"


@dataclass(frozen=True, slots=True)
class Row:
    """A condition at the REST door: status, title and page; in the words of the others: status and code."""

    status: int
    title: str
    page: str
    smtp: str = "554 5.6.0"
    resend: str = "422 validation_error"
    graph: str = "400 ErrorInvalidRequest"


TABLE: Final[dict[Condition, Row]] = {
    Condition.INVALID_JSON: Row(
        400,
        "The body is not JSON",
        "The body could not be read as JSON (RFC 8259), in UTF-8. The text names the line and column.",
        resend="400 validation_error",
        graph="400 BadRequest",
    ),
    Condition.INVALID_IDEMPOTENCY_KEY: Row(
        400,
        "The Idempotency-Key is malformed",
        "An Idempotency-Key has 1 to 256 visible ASCII characters. A fresh UUID for every new message is a good one.",
        resend="400 invalid_idempotency_key",
        graph="400 BadRequest",
    ),
    Condition.MISSING_CREDENTIALS: Row(
        401,
        "No credentials",
        "Send the header Authorization: Bearer followed by a key. An administrator makes one: "
        "posthouse keys create NAME --sender ADDRESS.",
        smtp="530 5.7.0",
        resend="401 missing_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.INVALID_KEY: Row(
        401,
        "The key is not valid",
        "The key is mistyped, unknown, revoked or expired. posthouse keys list shows what exists; a key itself is "
        "shown only once, when it is made.",
        smtp="535 5.7.8",
        resend="403 invalid_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.TOKEN_EXPIRED: Row(
        401,
        "The token has expired",
        "The Entra token's exp has passed. Ask for a new one: the libraries do so by themselves; a token kept by hand "
        "lives for about an hour.",
        resend="403 invalid_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.TOKEN_WRONG_AUDIENCE: Row(
        401,
        "The token is for another audience",
        "The program asked Entra ID for a token of another API. Its scope is the audience of [callers] with /.default "
        "behind it; the text names the audience.",
        resend="403 invalid_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.TOKEN_WRONG_TENANT: Row(
        401,
        "The token is of another tenant",
        "Tokens count of one tenant only: [callers] tenant_id.",
        resend="403 invalid_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.MISSING_ROLE: Row(
        401,
        "The token lacks a role",
        "A token counts whose app is a client's entra_app_id, or that has one of the app roles submit, read, content, "
        "manage or admin, assigned to the app (not to a person) in the app registration of [callers] audience.",
        resend="401 restricted_api_key",
        graph="401 InvalidAuthenticationToken",
    ),
    Condition.INSUFFICIENT_SCOPE: Row(
        403,
        "The credential lacks a scope",
        "The scopes are submit, read, content, manage and admin; none includes another. The text names the one that "
        "is missing. An administrator makes a key with it: posthouse keys create NAME --sender ADDRESS --scope SCOPE.",
        smtp="550 5.7.1",
        resend="401 restricted_api_key",
        graph="403 ErrorAccessDenied",
    ),
    Condition.SENDER_NOT_ALLOWED: Row(
        403,
        "The client may not send as this address",
        "Every key has senders: exact addresses or *@domain. The text names the ones of this client. For raw messages "
        "the rule holds for From and Sender.",
        smtp="550 5.7.1",
        resend="403 validation_error",
        graph="403 ErrorSendAsDenied",
    ),
    Condition.RECIPIENT_NOT_ALLOWED: Row(
        403,
        "The client may not send to this recipient",
        "The key is limited to recipient domains; the text names them and the first address outside of them.",
        smtp="550 5.7.1",
        resend="403 validation_error",
        graph="403 ErrorAccessDenied",
    ),
    Condition.NOT_FOUND: Row(
        404,
        "Not found",
        "There is no such thing, or it belongs to another client: both answer the same. Finished messages are deleted "
        "after [spool] retention, their content after [spool] content_retention.",
        resend="404 not_found",
        graph="400 BadRequest",
    ),
    Condition.METHOD_NOT_ALLOWED: Row(
        405,
        "The method is not allowed here",
        "The header Allow names the methods that this address knows.",
        resend="405 method_not_allowed",
        graph="405 Request_BadRequest",
    ),
    Condition.NOT_CANCELABLE: Row(
        409,
        "The message cannot be canceled",
        "A message that is being sent or is final cannot be canceled. An unconfirmed one only loses the right to be "
        "sent again; it stays until it is known whether it was sent.",
    ),
    Condition.NOT_RETRYABLE: Row(
        409,
        "The action is not possible now",
        "The rules: sent and canceled messages are final; an expired one needs a new expires_at; one whose content was "
        "deleted cannot go again; an unconfirmed one needs accept_duplicate, because it may have been sent already.",
    ),
    Condition.REQUEST_TIMEOUT: Row(
        408,
        "The body came too slowly",
        "A body may pause for 30 seconds and, after its first minute, comes at 10,000 bytes a second or more. Nothing "
        "was accepted and the connection is closed; send it again.",
        smtp="421 4.4.2",
        resend="408 application_error",
        graph="408 RequestTimeout",
    ),
    Condition.NOT_CHANGEABLE: Row(
        409,
        "The message cannot be changed",
        "Times and priority are changed while a message waits: not while it is being sent, not while nobody knows "
        "whether it was sent, and not when it is final.",
    ),
    Condition.MESSAGE_TOO_LARGE: Row(
        413,
        "The message is too large",
        "limit_bytes holds the limit that was met: 10 MiB for JSON (send larger files as parts of multipart/form-data, "
        "or the message as message/rfc822); what the transports of the sender's route carry (3,145,728 bytes of MIME "
        "in one request of Microsoft Graph, more by SMTP or as a draft with upload sessions); [limits] "
        "max_message_bytes for all. The text says what lifts the one that was met.",
        smtp="552 5.3.4",
        resend="413 validation_error",
        graph="413 ErrorMessageSizeExceeded",
    ),
    Condition.UNSUPPORTED_MEDIA_TYPE: Row(
        415,
        "The media type is not supported",
        "Send Content-Type: application/json, multipart/form-data with the JSON as its first part, or message/rfc822 "
        "for a complete message; without Content-Encoding.",
        resend="415 validation_error",
        graph="415 UnsupportedMediaType",
    ),
    Condition.VALIDATION_ERROR: Row(
        422,
        "A field breaks a rule",
        "errors lists the fields found at fault: a JSON pointer (RFC 6901) and the rule; a message may have more behind them. Unknown fields are refused, because "
        "a mistyped bcc is an incident. Parameters of the address line stand under /query, headers under /header.",
    ),
    Condition.TOO_MANY_RECIPIENTS: Row(
        422,
        "Too many recipients",
        "To, Cc and Bcc together have at most [limits] recipients_per_message addresses (500 is Exchange Online's "
        "default). Split the message, or use a distribution group.",
        smtp="452 4.5.3",
        graph="400 ErrorInvalidRecipients",
    ),
    Condition.INVALID_ATTACHMENT: Row(
        422,
        "An attachment is not valid",
        "content is base64 (RFC 4648 §4), or part names a part of the form, which no other attachment names; "
        "content_type is type/subtype, every content_id stands once, a file name has no control characters.",
        resend="422 invalid_attachment",
    ),
    Condition.INVALID_MIME: Row(
        422,
        "The message is not RFC 5322",
        "A raw message has one From with one address, a blank line after its header, lines of at most 998 octets, no "
        "NUL, and recipients in To, Cc, Bcc or ?to=.",
        graph="400 ErrorMimeContentInvalid",
    ),
    Condition.IDEMPOTENCY_KEY_REUSED: Row(
        422,
        "The Idempotency-Key came before with another request",
        "The key of a request is bound to its content until 24 hours after the message is final. "
        "The same request gets the stored answer; a new message needs a new key.",
        resend="409 invalid_idempotent_request",
        graph="422 UnprocessableEntity",
    ),
    Condition.QUOTA_EXCEEDED: Row(
        429,
        "Too many requests",
        "This caller's own rate was exceeded; Retry-After holds the seconds to wait. It never means that Microsoft is "
        "throttled or down: that fills the spool, not this list.",
        smtp="451 4.7.1",
        resend="429 rate_limit_exceeded",
        graph="429 TooManyRequests",
    ),
    Condition.SPOOL_FULL: Row(
        503,
        "No space to keep mail",
        "Nothing was accepted. Send it again after Retry-After; an administrator frees space.",
        smtp="452 4.3.1",
        resend="503 application_error",
        graph="503 serviceNotAvailable",
    ),
    Condition.STORAGE_LOW: Row(
        503,
        "Mail cannot be kept durably now",
        "The disk is below its floor or cannot be written. Nothing was accepted. Send it again after Retry-After; "
        "/readyz names the reason.",
        smtp="452 4.3.1",
        resend="503 application_error",
        graph="503 serviceNotAvailable",
    ),
    Condition.DRAINING: Row(
        503,
        "The service is stopping",
        "Nothing was accepted. Send it again after Retry-After: it is being restarted.",
        smtp="421 4.3.2",
        resend="503 application_error",
        graph="503 serviceNotAvailable",
    ),
    Condition.CALLERS_UNAVAILABLE: Row(
        503,
        "Tokens cannot be checked now",
        "The signing keys of Entra ID have never been fetched since the start and cannot be fetched now. Nothing was "
        "accepted; send it again after Retry-After. Keys of posthouse go on working.",
        resend="503 application_error",
        graph="503 serviceNotAvailable",
    ),
}

FAULT: Final = "internal_error"

NETWORK_NOT_ALLOWED: Final = "network_not_allowed"
CLEAR_LOGIN: Final = "clear_login"
TLS_FAILED: Final = "tls_failed"
"""Why a connection of the SMTP door came to nothing before anything was submitted; kept like the conditions of KEPT."""

KEPT: Final = frozenset(
    {
        Condition.MISSING_CREDENTIALS,
        Condition.INVALID_KEY,
        Condition.TOKEN_EXPIRED,
        Condition.TOKEN_WRONG_AUDIENCE,
        Condition.TOKEN_WRONG_TENANT,
        Condition.MISSING_ROLE,
        Condition.INSUFFICIENT_SCOPE,
        Condition.SENDER_NOT_ALLOWED,
        Condition.RECIPIENT_NOT_ALLOWED,
        Condition.MESSAGE_TOO_LARGE,
        Condition.TOO_MANY_RECIPIENTS,
        Condition.INVALID_MIME,
        Condition.QUOTA_EXCEEDED,
    }
)
"""The refusals that are kept for an administrator: those of who tries to send and may not, or not so."""


def status_of(refused: Refused) -> int:
    """The HTTP status of the REST door."""
    return TABLE[refused.condition].status


def smtp_of(condition: Condition) -> str:
    """The reply code and the enhanced one of the SMTP door."""
    return TABLE[condition].smtp


def graph_of(condition: Condition) -> tuple[int, str]:
    """The HTTP status of the Graph door and the code in its error (CONTRACT §2.4)."""
    status, _, code = TABLE[condition].graph.partition(" ")
    return int(status), code


def resend_of(refused: Refused) -> tuple[int, str]:
    """The HTTP status and the name of the Resend door, which tells more apart: what is missing, a wrong ``from``, a used day."""
    status, _, name = TABLE[refused.condition].resend.partition(" ")
    if any(one.name == "day" and not one.remaining for one in refused.allowance):
        name = "daily_quota_exceeded"
    if refused.condition is Condition.VALIDATION_ERROR and refused.errors:
        if all(error.missing for error in refused.errors):
            name = "missing_required_field"
        elif refused.errors[0].pointer.endswith("/from"):
            name = "invalid_from_address"
    return int(status), name


def problem(refused: Refused, *, request_id: str) -> bytes:
    """The problem document of RFC 9457 §3."""
    row, code = TABLE[refused.condition], refused.condition.value
    document: dict[str, object] = {
        "type": f"{PAGES}/{code}",
        "title": row.title,
        "status": row.status,
        "detail": refused.detail,
        "code": code,
        "errors": [{"pointer": error.pointer, "detail": error.detail} for error in refused.errors],
        "request_id": request_id,
    }
    if refused.limit_bytes is not None:
        document["limit_bytes"] = refused.limit_bytes
    return to_json(document)


def fault(*, request_id: str) -> bytes:
    """What a caller sees of a fault of ours: nothing but the id under which it was logged."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "a fault of posthouse; its log has more under this request_id",
        "code": FAULT,
        "errors": [],
        "request_id": request_id,
    }
    return to_json(document)


def page(condition: Condition) -> str:
    """The documentation of a code, as a small page."""
    row, code = TABLE[condition], condition.value
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(code)} - posthouse</title>'
        f"<h1>{escape(code)}</h1><p>HTTP {row.status}: {escape(row.title)}.</p><p>{escape(row.page)}</p></html>\n"
    )
