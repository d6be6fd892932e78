"""/v1/keys: made, listed and revoked by administrators; ``self`` tells a caller who it is."""

from typing import Final

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from posthouse.clients.forms import NewKey
from posthouse.clients.keys import Grant
from posthouse.doors.address import is_address
from posthouse.doors.http.parts import Parts, answer, path_parameter
from posthouse.doors.http.reading import body, parsed
from posthouse.doors.options import moment
from posthouse.doors.rest import views
from posthouse.doors.rest.models import KeyIn, RotateIn
from posthouse.identities import KeyRow
from posthouse.policy import Client, Right, must_have
from posthouse.refusal import Condition, FieldError, Refused

_KEY: Final = TypeAdapter(KeyIn)
_ROTATE: Final = TypeAdapter(RotateIn)


class KeysDesk:
    """Makes, lists and ends keys."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def myself(self, request: Request) -> Response:
        """GET /v1/keys/self."""
        return answer(_myself(self._parts, self._parts.caller(request)))

    async def create(self, request: Request) -> Response:
        """POST /v1/keys: the key is shown this once."""
        caller = self._administrator(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        wanted = parsed(_KEY, raw, model=KeyIn)
        _check_senders(wanted.senders)
        grant = Grant(
            client=wanted.client,
            kind=wanted.kind,
            senders=tuple(wanted.senders),
            recipient_domains=tuple(wanted.recipient_domains),
            networks=tuple(wanted.networks),
            scopes=tuple(wanted.scopes),
            expires_at=moment(wanted.expires_at, wanted.expires_in, now=self._parts.clock.now()),
        )
        return answer(_shown(*await self._parts.keys.create(grant, by=caller.by)), status=201)

    async def rotate(self, request: Request) -> Response:
        """POST /v1/keys/{id}/rotate: a new key that allows the same; the old one ends after ``grace``."""
        caller = self._administrator(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        wanted = parsed(_ROTATE, raw or b"{}", model=RotateIn)
        grace = int(wanted.grace * 1000)
        made = await self._parts.keys.rotate(request.path_params["key_id"], grace=grace, by=caller.by)
        if made is None:
            raise Refused(Condition.NOT_FOUND, "no such key that is valid (keys of the settings are changed there)")
        return answer(_shown(*made), status=201)

    async def listed(self, request: Request) -> Response:
        """GET /v1/keys."""
        self._administrator(request)
        return answer(views.everything([views.key(row) for row in await self._parts.keys.rows()]))

    async def revoke(self, request: Request) -> Response:
        """POST /v1/keys/{id}/revoke."""
        caller = self._administrator(request)
        row = await self._parts.keys.revoke(request.path_params["key_id"], by=caller.by)
        if row is None:
            raise Refused(Condition.NOT_FOUND, "no such key (keys of the settings are ended there)")
        return answer(views.key(row))

    def _administrator(self, request: Request) -> Client:
        caller = self._parts.caller(request)
        must_have(caller, Right.ADMIN)
        return caller


def install(app: FastAPI, parts: Parts, *, admin: bool) -> None:
    """Mount the routes; without ``admin`` only ``self``."""
    desk = KeysDesk(parts)
    app.get("/v1/keys/self", summary="Who am I?")(desk.myself)
    if admin:
        app.post("/v1/keys", summary="Make a key; it is shown this once", status_code=201)(desk.create)
        app.get("/v1/keys", summary="All keys, without their secrets")(desk.listed)
        extra = path_parameter("key_id")
        app.post(
            "/v1/keys/{key_id}/rotate",
            summary="A new key that allows the same; the old one ends after the grace",
            status_code=201,
            openapi_extra=extra,
        )(desk.rotate)
        app.post("/v1/keys/{key_id}/revoke", summary="End a key at once", openapi_extra=extra)(desk.revoke)


def _myself(parts: Parts, caller: Client) -> views.Json:
    row = parts.keys.find(caller.key_id) if caller.key_id else None
    if row is not None:
        return views.key(row)
    return {
        "id": None,
        "client": caller.name,
        "senders": list(caller.senders),
        "recipient_domains": list(caller.recipient_domains),
        "scopes": sorted(right.value for right in caller.rights),
    }


def _shown(new: NewKey, row: KeyRow) -> views.Json:
    """A key with its secret, this once; a device has a user and a password."""
    secret = {"user": new.id, "password": new.text} if row.kind == "device" else {"key": new.text}
    return views.key(row) | secret


def _check_senders(senders: list[str]) -> None:
    """Exact addresses or ``*@domain``; ``*`` alone belongs to the administrator's socket."""
    wrong = [
        FieldError(f"/senders/{index}", "a sender is an address or *@domain")
        for index, sender in enumerate(senders)
        if not is_address(f"x{sender[1:]}" if sender.startswith("*@") else sender)
    ]
    if wrong:
        raise Refused(Condition.VALIDATION_ERROR, f"{wrong[0].pointer}: {wrong[0].detail}", errors=tuple(wrong))
