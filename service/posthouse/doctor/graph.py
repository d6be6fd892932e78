"""Graph: may the app look into the mailbox, may it send from it, and, on request, does a real message leave."""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from posthouse.doctor.entra import EntraExam, claims_of
from posthouse.doctor.letter import letter, new_message_id
from posthouse.doctor.network import Http, Unanswered
from posthouse.doctor.plan import GraphPlan, Sender
from posthouse.doctor.steps import Seen
from posthouse.findings import Result, trouble
from posthouse.outcome import Answer
from posthouse.records import ProofLevel
from posthouse.transports.graph.replies import ACCEPTED, Facts, Refused, Reply, code_of, outcome
from posthouse.transports.tokens import NoToken

AT_ONCE: Final = 3
"""Requests under way, below the four that Graph takes of an app and mailbox (FACTS B1)."""
NO_RECIPIENTS: Final = "ErrorInvalidRecipients"
"""What Graph says of a message that nobody can get (FACTS A4), once it has let the app in."""

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_UNCERTAIN: Final = frozenset({"graph.uncertain", "graph.redirect"})
_OFFER: Final = "only a real message proves it: posthouse doctor --sender {} --send-to you@example.com"


class GraphExam:
    """One transport of kind graph, for all senders that are examined."""

    def __init__(
        self,
        plan: GraphPlan,
        entra: EntraExam,
        http: Http,
        *,
        senders: Sequence[Sender],
        wall: Callable[[], float],
    ) -> None:
        self.plan = plan
        self._entra = entra
        self._http = http
        self._senders = senders
        self._wall = wall
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sights: dict[str, int] = {}
        self._probes: asyncio.Task[Mapping[Sender, Reply]] | None = None

    async def close(self) -> None:
        """End what is under way."""
        await self._http.close()
        if self._probes is not None:
            self._probes.cancel()
            await asyncio.gather(self._probes, return_exceptions=True)

    async def look_up(self, sender: Sender) -> Seen:
        """Look for a message that nobody sent: an answer proves the mailbox, and the right to look into it."""
        wanted = quote(f"internetMessageId eq '{new_message_id()}'")
        path = f"messages?$filter={wanted}&$select=id&$top=1"
        try:
            reply = await self._ask("GET", sender, path)
        except (Unanswered, NoToken) as error:
            return self._silent(error, sender)
        self._sights[sender.mailbox] = reply.status
        if reply.status == _OK:
            return Seen(words=f"{sender.mailbox} is there, and the app may look into it")
        if reply.status == _FORBIDDEN:
            words = f"the app may not look into {sender.mailbox}: the right is missing, or the mailbox is outside of its scope"
            what = trouble("graph.read_permission", names=self._names(sender), code=code_of(reply.body))
            return Seen(result=Result.UNKNOWN, words=f"{words}; {_OFFER.format(sender.address)}", trouble=what)
        return self._refused(reply, sender)

    async def send_right(self, sender: Sender) -> Seen:
        """Offer a message without recipients: Graph refuses it, for that reason only where the app may send."""
        if self._probes is None:
            self._probes = asyncio.create_task(self._probe())
        try:
            probes = await asyncio.shield(self._probes)
        except (Unanswered, NoToken) as error:
            return self._silent(error, sender)
        reply = probes[sender]
        if code_of(reply.body) == NO_RECIPIENTS:
            words = "Graph looked at the message and missed its recipients, as it should"
            if self._sights.get(sender.mailbox) == _OK:
                return Seen(words=words)
            return Seen(result=Result.UNKNOWN, words=f"{words}; {_OFFER.format(sender.address)}")
        return self._refused(reply, sender, probes)

    async def message(self, sender: Sender, to: str) -> Seen:
        """A real message."""
        try:
            reply = await self._offer(sender, to=to)
        except (Unanswered, NoToken) as error:
            return self._silent(error, sender)
        if reply.status == ACCEPTED:
            return Seen(words=f"Exchange Online took it, request id {reply.headers.get('request-id', '?')}")
        return self._refused(reply, sender)

    async def proof(self) -> Seen:
        """What could show, after a lost answer, whether a message left (PROMISES §5)."""
        blind = sorted(mailbox for mailbox, status in self._sights.items() if status != _OK)
        if not blind and self._sights:
            level = ProofLevel.DRAFT if self.plan.drafts else ProofLevel.LOOK_UP
            more = ", and larger messages go as drafts whose fate is known by their id" if self.plan.drafts else ""
            return Seen(words=f"level {level}: doubtful sends are looked for in Sent Items{more}")
        words = (
            f"level {ProofLevel.NONE}: a doubtful send from {', '.join(blind) or 'any mailbox'} is held for a person"
        )
        what = trouble("graph.read_permission", names=self._entra.names)
        return Seen(result=Result.UNKNOWN, words=words, trouble=what)

    async def reports(self) -> Seen:
        """Whether somebody hears which mail did not arrive: the settings say so, and the app may read the Inbox."""
        mailboxes = {one.mailbox: one for one in self._senders}
        if not self.plan.bounces:
            mailbox = next(iter(mailboxes), None)
            names = {**self._entra.names, **({} if mailbox is None else {"mailbox": mailbox})}
            remedy = trouble("graph.reports_unread", names=names).remedy
            return Seen(words=f"posthouse does not: they stay in the Inbox of the mailbox that sent. {remedy}")
        for sender in mailboxes.values():
            try:
                reply = await self._ask("GET", sender, "mailFolders/inbox/messages/delta?$select=id&$top=1")
            except (Unanswered, NoToken) as error:
                return self._silent(error, sender)
            if reply.status == _FORBIDDEN:
                what = trouble("graph.report_permission", names=self._names(sender), code=code_of(reply.body))
                words = f"the settings say bounces = true, and the app may not read what comes into {sender.mailbox}"
                return Seen(result=Result.FAILED, words=words, trouble=what)
            if reply.status != _OK:
                return self._refused(reply, sender)
        return Seen(words=f"posthouse reads them in {', '.join(mailboxes)}")

    async def _probe(self) -> Mapping[Sender, Reply]:
        replies = await asyncio.gather(*(self._offer(sender) for sender in self._senders))
        return dict(zip(self._senders, replies, strict=True))

    async def _offer(self, sender: Sender, *, to: str | None = None) -> Reply:
        content = base64.b64encode(letter(sender=sender.address, to=to, at=self._wall(), way=self.plan.name))
        return await self._ask("POST", sender, "sendMail", content=content)

    async def _ask(self, method: str, sender: Sender, path: str, *, content: bytes | None = None) -> Reply:
        token = (await self._entra.tokens.get_token(self.plan.scope)).token
        url = f"{self.plan.base_url.rstrip('/')}/users/{quote(sender.mailbox, safe='')}/{path}"
        headers = {"Authorization": f"Bearer {token}"} | ({} if content is None else {"Content-Type": "text/plain"})
        async with self._slots:
            answer = await self._http.ask(method, url, headers=headers, content=content)
        return Reply(
            status=answer.status_code, headers=answer.headers, body=answer.content, waited=0.0, now=self._wall()
        )

    def _refused(self, reply: Reply, sender: Sender, probes: Mapping[Sender, Reply] | None = None) -> Seen:
        answer = outcome(reply, Facts(own_from=sender.own, unproven=False, refused=Refused.TRANSPORT)).answer
        fix = answer.fix or "graph.service"
        if fix in _UNCERTAIN and reply.status > _UNAUTHORIZED:
            fix = "graph.service"
        if fix == "graph.mailbox_permission" and probes is not None:
            fix = self._right_missing(sender, probes)
        return self._failed(fix, answer, sender)

    def _right_missing(self, sender: Sender, probes: Mapping[Sender, Reply]) -> str:
        """Which right is missing, told by what is allowed in this mailbox and in others (FACTS C4: nothing else shows it)."""
        if self._sights.get(sender.mailbox) == _OK:
            return "graph.app_permission"
        elsewhere = {mailbox for mailbox, status in self._sights.items() if status == _OK}
        elsewhere |= {one.mailbox for one, reply in probes.items() if code_of(reply.body) == NO_RECIPIENTS}
        if self._unscoped():
            return "graph.access_policy"
        if elsewhere:
            return "graph.mailbox_permission"
        return "graph.app_permission" if len({one.mailbox for one in probes}) > 1 else "graph.no_right"

    def _unscoped(self) -> bool:
        """Whether Entra lets the app send as everybody, so that only an access policy can stand against it."""
        token = self._entra.held(self.plan.scope)
        roles = claims_of(token).get("roles") if token is not None else None
        return isinstance(roles, list) and "Mail.Send" in roles

    def _silent(self, error: Unanswered | NoToken, sender: Sender) -> Seen:
        if isinstance(error, Unanswered):
            return Seen(result=Result.FAILED, words="no answer", trouble=error.trouble)
        answer = error.outcome.answer
        return self._failed(answer.fix or "entra.refused", answer, sender)

    def _failed(self, fix: str, answer: Answer, sender: Sender) -> Seen:
        what = trouble(fix, names=self._names(sender), said=answer.text, code=answer.code, request_id=answer.request_id)
        return Seen(result=Result.FAILED, words=answer.text, trouble=what)

    def _names(self, sender: Sender) -> Mapping[str, str]:
        return {**self._entra.names, "mailbox": sender.mailbox, "from address": sender.address}
