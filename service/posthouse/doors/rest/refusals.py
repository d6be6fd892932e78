"""GET /v1/refusals: who was refused, grouped, with what mends it; after a cut-over it names the device that still fails."""

from collections.abc import Callable, Mapping
from typing import Final

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.parts import Parts, answer, iso
from posthouse.doors.problems import CLEAR_LOGIN, NETWORK_NOT_ALLOWED, TLS_FAILED
from posthouse.doors.rest import views
from posthouse.identities import Refusal
from posthouse.policy import Right, must_have
from posthouse.refusal import Condition


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""

    @app.get("/v1/refusals", summary="Who was refused, grouped by source, login, sender and reason, with the fix")
    async def refusals(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        return answer(views.everything([_shown(one) for one in await parts.keeper.refusals()]))


def fix(one: Refusal) -> str:
    """What an administrator does so that it is accepted, or where the fault is mended if not by us."""
    return _FIXES.get(one.code, lambda _one: one.detail)(one)


def _shown(one: Refusal) -> views.Json:
    return {
        "door": one.door,
        "source": one.source or None,
        "login": one.login or None,
        "client": one.client or None,
        "sender": one.sender or None,
        "code": one.code,
        "detail": one.detail,
        "fix": fix(one),
        "times": one.times,
        "first_at": iso(one.first_at),
        "last_at": iso(one.last_at),
    }


def _no_credentials(one: Refusal) -> str:
    if one.door == "smtp":
        return (
            "Make a login for it: posthouse keys create NAME --device --sender ADDRESS, and enter user and password in the "
            f'program; a device that cannot log in: [[clients]] auth = "network", networks = ["{one.source}"].'
        )
    return "Make a key for it: posthouse keys create NAME --sender ADDRESS, and send it as Authorization: Bearer."


def _no_key(one: Refusal) -> str:
    new = "posthouse keys create NAME --device --sender ADDRESS" if one.door == "smtp" else "posthouse keys rotate ID"
    return f"posthouse keys list shows what is valid. Enter the key or password again, or make a new one: {new}."


def _sender(one: Refusal) -> str:
    return (
        f"posthouse keys create {one.client or 'NAME'} --sender {one.sender or 'ADDRESS'} and give it that key; or let its "
        f"mail be rewritten: posthouse clients set {one.client or 'NAME'} --rewrite-from ADDRESS."
    )


_FIXES: Final[Mapping[str, Callable[[Refusal], str]]] = {
    Condition.MISSING_CREDENTIALS.value: _no_credentials,
    Condition.INVALID_KEY.value: _no_key,
    Condition.SENDER_NOT_ALLOWED.value: _sender,
    NETWORK_NOT_ALLOWED: lambda one: (
        f"Add {one.source} to networks of that [[smtp_door.listeners]], if it is a device of yours."
    ),
    CLEAR_LOGIN: lambda _one: (
        'Switch STARTTLS or TLS on in the program; one that has neither: a listener with tls = "optional" and networks.'
    ),
    TLS_FAILED: lambda _one: (
        "The program refuses the certificate or speaks an old TLS: install a certificate that it trusts, update it, or give "
        'it a listener of its own with tls_min = "1.0" and networks.'
    ),
    Condition.QUOTA_EXCEEDED.value: lambda one: (
        f"posthouse clients set {one.client} --rate-per-minute N, or --over-rate delay to accept and send later."
        if one.client
        else "Find out who tries keys from this address; it is slowed until it stops."
    ),
    Condition.RECIPIENT_NOT_ALLOWED.value: lambda one: (
        f"posthouse keys create {one.client or 'NAME'} --sender ADDRESS --recipient-domain DOMAIN and give it that key."
    ),
    Condition.INSUFFICIENT_SCOPE.value: lambda one: (
        f"posthouse keys create {one.client or 'NAME'} --sender ADDRESS --scope SCOPE and give it that key."
    ),
}
