"""The plain HTTP side of the emulator: the inbox, the control API, and the endpoint of managed identities."""

from collections.abc import Mapping
from itertools import islice
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from posthouse.sandbox.control import control_routes
from posthouse.sandbox.entra import Entra
from posthouse.sandbox.listeners import Listener
from posthouse.sandbox.pages import SHOWN, attachments, inbox_page, mail_page, parsed
from posthouse.sandbox.world import Received, World

# A mail is foreign content: no script, no form, no load from anywhere.
_GUARD = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def inbox_app(world: World, listeners: Mapping[str, Listener]) -> Starlette:
    """The application; ``listeners`` are those that the control API may stop and start."""
    inbox = _Inbox(world)
    routes = [
        Route("/", inbox.root),
        Route("/inbox", inbox.page),
        Route("/inbox.json", inbox.json),
        Route("/inbox/{number:int}.eml", inbox.eml),
        Route("/inbox/{number:int}", inbox.mail),
        Route("/inbox/{number:int}/attachments/{index:int}", inbox.attachment),
        Route("/msi/token", inbox.managed_identity),
        *control_routes(world, listeners),
    ]
    return Starlette(routes=routes)


class _Inbox:
    """The endpoints of the inbox."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entra = Entra(world)

    async def root(self, _request: Request) -> Response:
        """To the inbox."""
        return RedirectResponse("/inbox")

    async def page(self, _request: Request) -> Response:
        """The newest mails as a table."""
        received = self._world.received
        newest = islice(reversed(received), SHOWN)
        page = inbox_page(newest, total=len(received), violations=self._world.violations)
        return HTMLResponse(page, headers=_GUARD)

    async def json(self, request: Request) -> Response:
        """The mails with a number above ``?after=``, oldest first."""
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            raise HTTPException(422, "after must be a number")
        received = self._world.received
        first = received[0].number if received else 0
        fresh = islice(received, max(0, int(after) + 1 - first), None)
        return JSONResponse([_as_json(one) for one in fresh])

    async def mail(self, request: Request) -> Response:
        """One mail as a page."""
        return HTMLResponse(mail_page(self._mail(request)), headers=_GUARD)

    async def eml(self, request: Request) -> Response:
        """One mail as it was delivered, byte for byte."""
        one = self._mail(request)
        headers = {"content-disposition": f'attachment; filename="{one.number}.eml"'}
        return Response(one.mime, media_type="message/rfc822", headers=_GUARD | headers)

    async def attachment(self, request: Request) -> Response:
        """One attachment's bytes, never shown in place."""
        parts = list(attachments(parsed(self._mail(request))))
        index = request.path_params["index"]
        if index >= len(parts):
            raise HTTPException(404)
        name, _, content = parts[index]
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
        return Response(content, media_type="application/octet-stream", headers=_GUARD | headers)

    async def managed_identity(self, request: Request) -> Response:
        """A token as App Service's local endpoint gives it."""
        header = request.headers.get("x-identity-header")
        answer = self._entra.managed_identity(request.query_params, header, host=request.url.netloc)
        return Response(answer.body, status_code=answer.status, media_type="application/json")

    def _mail(self, request: Request) -> Received:
        one = self._world.mail_number(request.path_params["number"])
        if one is None:
            raise HTTPException(404)
        return one


def _as_json(one: Received) -> dict[str, object]:
    return {
        "number": one.number,
        "received_at": one.received_at,
        "mailbox": one.mailbox,
        "transport": one.transport,
        "from": one.sender,
        "recipients": one.recipients,
        "subject": one.subject,
        "message_id": one.message_id,
        "size": len(one.mime),
        "sha256": one.digest,
        "files": [file.as_json() for file in one.files],
    }
