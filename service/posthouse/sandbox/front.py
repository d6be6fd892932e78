"""The HTTPS side of the emulator: one raw ASGI application, because benchmarks drive thousands of requests a second."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from starlette.types import Receive, Scope, Send

from posthouse.sandbox import drafts
from posthouse.sandbox.answers import Answer, Cut, Ids, Reply, graph_error, json_answer, new_ids
from posthouse.sandbox.arrivals import arrivals
from posthouse.sandbox.chaos import Situation, Target
from posthouse.sandbox.entra import Entra
from posthouse.sandbox.faults import retry_after, strike
from posthouse.sandbox.graph import send_mail
from posthouse.sandbox.limits import MAX_REQUEST
from posthouse.sandbox.lookup import look_up
from posthouse.sandbox.requests import Request
from posthouse.sandbox.uploads import open_session, upload
from posthouse.sandbox.world import World

TRANSPORT: Final = "transport"
# Where a redirecting fault points: it says 200 to all, so that a client that follows loses its mail (SDK 0.1).
ELSEWHERE: Final = "/elsewhere"
_SEND: Final = frozenset({"sendmail", "microsoft.graph.sendmail"})
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Front:
    """Plays login.microsoftonline.com and graph.microsoft.com on one host."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entra = Entra(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; the connection's transport stands in the scope's state."""
        if scope["type"] != "http":
            return
        try:
            with self._world.recorder.visit(scope["method"], scope["raw_path"], self._app(scope)) as visit:
                reply = await self._reply(scope, visit.counted(receive))
                visit.answered(reply)
            if isinstance(reply, Answer):
                await _say(send, reply)
                return
            if reply is not Cut.HANG:
                cut(scope["state"][TRANSPORT], reset=reply is Cut.RESET)
            while (await receive())["type"] != "http.disconnect":
                pass
        except GoneError:
            return
        except asyncio.CancelledError:
            return  # the emulator stops; its listener has cut the connection

    def _app(self, scope: Scope) -> str:
        """The app whose token the request carries, empty where it carries none."""
        bearer = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
        token = self._world.tokens.get(bearer)
        return "" if token is None else token.app

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        body = await _body(receive)
        headers = dict(scope["headers"])
        path = scope["raw_path"].decode("ascii")
        client_id = headers.get(b"client-request-id")
        ids = new_ids(self._world.clock(), client_id.decode("latin-1") if client_id else None)
        base_url = f"https://{headers.get(b'host', b'').decode('latin-1')}"
        match path.split("/")[1:]:
            case ["v1.0" | "beta", "users", user, *rest]:
                request = _request(scope, headers, body, user=user, ids=ids)
                reply = await self._graph(scope["method"], rest, request, base_url=base_url)
            case ["upload", token] if scope["method"] in {"PUT", "GET", "DELETE"}:
                request = _request(scope, headers, body, user="", ids=ids)
                reply = await upload(self._world, request, scope["method"], token, url=base_url + ELSEWHERE)
            case ["elsewhere"]:
                reply = Answer(200)
            case parts:
                reply = await self._login([scope["method"], *parts], scope, body, base_url=base_url)
        return reply or graph_error(ids, 404, "ResourceNotFound", f"Resource not found for the segment '{path}'.")

    async def _graph(self, method: str, rest: list[str], request: Request, *, base_url: str) -> Reply | None:
        """The answer to a request about a mailbox."""
        world, url = self._world, base_url + ELSEWHERE
        match [method, *rest]:
            case ["POST", action] if action.lower() in _SEND:
                return await send_mail(world, request, url=url)
            case ["GET", "messages"]:
                return await look_up(world, request, item=None, url=url)
            case ["GET", "mailFolders", "inbox", "messages", "delta"] | [
                "GET",
                "mailFolders('inbox')",
                "messages",
                "delta",
            ]:
                return await arrivals(world, request, item=None, base_url=base_url, url=url)
            case ["GET", "messages", item, "$value"]:
                return await arrivals(world, request, item=item, base_url=base_url, url=url)
            case ["GET", "messages", item]:
                return await look_up(world, request, item=item, url=url)
            case ["POST", "messages"]:
                return await drafts.create(world, request, url=url)
            case ["DELETE", "messages", item]:
                return await drafts.delete(world, request, item, url=url)
            case ["POST", "messages", item, "send"]:
                return await drafts.send(world, request, item, url=url)
            case [_, "messages", item, "attachments", *more]:
                return await self._files([method, *more], request, item, base_url=base_url)
        return None

    async def _files(self, parts: list[str], request: Request, item: str, *, base_url: str) -> Reply | None:
        """The answer to a request about the files of a draft."""
        world, url = self._world, base_url + ELSEWHERE
        match parts:
            case ["GET"]:
                return await drafts.files(world, request, item, url=url)
            case ["POST"]:
                return await drafts.attach(world, request, item, url=url)
            case ["POST", "createUploadSession"]:
                return await open_session(world, request, item, base_url=base_url, url=url)
        return None

    async def _login(self, parts: list[str], scope: Scope, body: bytes | None, *, base_url: str) -> Reply | None:
        """The answer to a request for Entra."""
        host = base_url.removeprefix("https://")
        match parts:
            case ["POST", tenant, "oauth2", "v2.0", "token"]:
                return await self._token(tenant, body, host=host)
            case ["GET", tenant, "v2.0", ".well-known", "openid-configuration"]:
                return self._entra.openid_configuration(tenant, base_url)
            case ["GET", _, "discovery", "v2.0", "keys"]:
                return self._entra.keys()
            case ["GET", "common", "discovery", "instance"]:
                return self._entra.instances(base_url)
            case ["GET", _, "discovery", "v2.0", "keys"]:
                return json_answer(200, {"keys": []})
            case ["GET", "msi", "token"]:
                return self._managed_identity(scope, host=host)
        return None

    async def _token(self, tenant: str, body: bytes | None, *, host: str) -> Reply:
        form = {name: values[-1] for name, values in parse_qs((body or b"").decode("utf-8", "replace")).items()}
        rule = self._world.chaos.pick(Situation(target=Target.ENTRA))
        if rule is None:
            return self._entra.token(tenant, form, host=host)
        self._world.counters.tokens_asked += rule.kind != "slow"
        return await strike(
            rule,
            process=lambda: self._entra.token(tenant, form, host=host),
            fault=lambda status: self._entra.fault(status, rule.code, retry_after=retry_after(rule, status)),
        )

    def _managed_identity(self, scope: Scope, *, host: str) -> Answer:
        header = dict(scope["headers"]).get(b"x-identity-header")
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("ascii")).items()}
        return self._entra.managed_identity(query, header.decode("latin-1") if header else None, host=host)


def cut(transport: asyncio.Transport, *, reset: bool) -> None:
    """Close the connection under the client, with RST where ``reset``, else with FIN and no word of TLS."""
    if transport.is_closing():  # the client is gone, and with it the socket
        return
    own = transport.get_extra_info("socket")
    if reset and own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _request(scope: Scope, headers: Mapping[bytes, bytes], body: bytes | None, *, user: str, ids: Ids) -> Request:
    query = scope["query_string"].decode("ascii")
    return Request(headers=headers, body=body, query=query, mailbox=unquote(user).lower(), ids=ids)


class GoneError(Exception):
    """The client went away before its request was complete: as with Graph, nothing comes of it."""


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None above Graph's limit: it is read to the end, so that the answer arrives, but not kept."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body if len(body) <= MAX_REQUEST else None
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_REQUEST:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts) if size <= MAX_REQUEST else None


async def _say(send: Send, answer: Answer) -> None:
    headers = list(answer.headers)
    if answer.status not in {204, 304}:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
