"""What is said of a mail before its content: held against policy while the client still listens."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from aiosmtpd.proxy_protocol import ProxyData
from aiosmtpd.smtp import SMTP, Envelope, Session

from posthouse.doors.address import is_address
from posthouse.doors.smtp import replies
from posthouse.doors.smtp.rewriting import sender_of
from posthouse.message import Bytes, Content
from posthouse.message import Envelope as OurEnvelope
from posthouse.policy import Client, may_send_to
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep, Draft, Wishes
from posthouse.telemetry import LOGGER, SERVICE_FAULT, log

NULL: Final = "<>"
"""The reverse-path that is none (RFC 5321 §4.5.5), as aiosmtpd tells it."""


class Hooks:
    """What aiosmtpd asks when it has read a command; the name of each method is fixed."""

    def __init__(
        self,
        step: DoorStep,
        caller: Callable[[], Client],
        *,
        refuse: Callable[[Refused], str],
        proxied: Callable[[str], str | None],
    ) -> None:
        self._step = step
        self._caller = caller
        self._refuse = refuse
        self._proxied = proxied

    async def handle_PROXY(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, _session: Session, _envelope: Envelope, data: ProxyData
    ) -> bool:
        """Whether the one that a proxy stands for is heard."""
        reply = self._proxied(str(data.src_addr or ""))
        if reply is not None:
            await server.push(reply)
        return reply is None

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Who sends, and whether so much can go; raises nothing, says it."""
        if address != NULL and not is_address(address):
            return replies.BAD_SENDER
        if not address.isascii() and not envelope.smtp_utf8:
            return replies.NEEDS_UTF8
        client = self._caller()
        try:
            self._step.welcome(client)
            _weigh(self._step, client, sender_of(client, address), _size_of(options))
        except Refused as refused:
            return self._refuse(refused)
        envelope.mail_from = address
        return replies.OK

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """One recipient; the others stay if this one is refused."""
        if not is_address(address):
            return replies.BAD_RECIPIENT
        if not address.isascii() and not envelope.smtp_utf8:
            return replies.NEEDS_UTF8
        client = self._caller()
        try:
            may_send_to(client, (address,))
            _count(envelope.rcpt_tos, most=self._step.rules.recipients_per_message)
        except Refused as refused:
            return self._refuse(refused)
        envelope.rcpt_tos.append(address)
        return replies.OK

    async def handle_exception(self, error: Exception) -> str:
        """A fault of ours: nothing of it goes to the client."""
        log(SERVICE_FAULT, level=logging.ERROR, door=replies.DOOR, error=type(error).__name__)
        LOGGER.debug("where", exc_info=error)
        return replies.FAULT


def _weigh(step: DoorStep, client: Client, address: str, size: int) -> None:
    """Raises Refused where the client may not send as this address, or his route does not carry so much."""
    if address == NULL:
        return
    draft = Draft(
        identity=step.identify(address),
        client=client,
        door=replies.DOOR,
        sender=address,
        envelope=OurEnvelope(address, ()),
        content=Content(b"", Bytes(b"")),
        subject="",
        wishes=Wishes(),
        raw=True,
    )
    if size > step.admit(draft):
        step.refuse_size(draft, size)


def _size_of(options: list[str]) -> int:
    """SIZE of MAIL FROM (RFC 1870), which aiosmtpd has held against its syntax; 0 where it was not said."""
    return next((int(one.removeprefix("SIZE=")) for one in options if one.startswith("SIZE=")), 0)


def _count(said: Sequence[str], *, most: int) -> None:
    if most and len(said) >= most:
        raise Refused(Condition.TOO_MANY_RECIPIENTS, f"a message has at most {most} recipients")
