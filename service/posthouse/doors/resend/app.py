"""The Resend door: the addresses of Resend's API that send and look after emails, for its SDKs with another base URL."""

from typing import Final

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.application import Door
from posthouse.doors.http.parts import Parts
from posthouse.doors.resend.drafts import DOOR
from posthouse.doors.resend.messages import Messages
from posthouse.doors.resend.refusals import fault, refusal
from posthouse.doors.resend.submit import Submit
from posthouse.refusal import Condition, Refused

ROOT: Final = "/resend"
EMAILS: Final = "/emails"
ABSENT: Final = ("metrics", "receiving")
"""Words that would else be taken for the id of an email."""


def door() -> Door:
    """A door for the SDKs of Resend; nothing of it stands in the OpenAPI document, which is the native door's."""
    return Door(name=DOOR, install=_install, speaks=_speaks, refused=refusal, fault=fault)


def _install(app: FastAPI, parts: Parts) -> None:
    """The SDKs of .NET and Rust put /emails in the place of the whole path of their base URL: it has no prefix then."""
    submit, messages = Submit(parts), Messages(parts)
    for emails in (ROOT + EMAILS, EMAILS):
        for name in ABSENT:
            app.get(f"{emails}/{name}", include_in_schema=False)(_absent)
        one = f"{emails}/{{message_id}}"
        app.post(emails, include_in_schema=False)(submit.one)
        app.post(f"{emails}/batch", include_in_schema=False)(submit.batch)
        app.get(emails, include_in_schema=False)(messages.listed)
        app.get(one, include_in_schema=False)(messages.one)
        app.patch(one, include_in_schema=False)(messages.update)
        app.post(f"{one}/cancel", include_in_schema=False)(messages.cancel)


async def _absent(request: Request) -> Response:
    detail = f"GET {request.url.path} is no part of this API: posthouse sends, and nobody here knows what was delivered"
    raise Refused(Condition.NOT_FOUND, detail)


def _speaks(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in (ROOT, EMAILS))
