"""The steps of each way out, in the order of CONTRACT §6, each with what it needs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from posthouse.doctor import network
from posthouse.doctor.entra import EntraExam
from posthouse.doctor.graph import AT_ONCE, GraphExam
from posthouse.doctor.network import ANSWER_SECONDS, Host
from posthouse.doctor.plan import GraphPlan, Sender, SmtpPlan
from posthouse.doctor.smtp import SmtpExam
from posthouse.doctor.steps import DEADLINE, Seen, Step
from posthouse.findings import Result

CONFIGURATION: Final = "configuration"
"""The step that all ways need."""

TOKEN_SECONDS: Final = 40.0
"""For a token: longer than one fetch may take (tokens.FETCH_SECONDS)."""

_NOBODY: Final = "no sender is known; name one: posthouse doctor --sender ADDRESS"


@dataclass(frozen=True, slots=True)
class Trip:
    """For whom a way is tried, and to whom a real message goes, if one goes."""

    senders: Sequence[Sender]
    to: str | None

    @property
    def deadline(self) -> float:
        """Seconds for a step that waits for its turn among all senders."""
        return DEADLINE + len(self.senders) * ANSWER_SECONDS / AT_ONCE

    def label(self, sender: Sender) -> str:
        """How findings call a sender: by its mailbox, and by its address where that is another."""
        return sender.mailbox if sender.own else f"{sender.address} by {sender.mailbox}"


def graph_steps(plan: GraphPlan, graph: GraphExam, entra: EntraExam, trip: Trip) -> list[Step]:
    """DNS, port 443, TLS, tenant, token, mailbox, the right to send, a real message, the proof level."""
    name = plan.name
    login = [plan.entra.host] if plan.entra.options.tenant_id else []
    hosts = list({(host.name, host.port): host for host in (*login, plan.host)}.values())
    steps = [*_path(name, hosts), _tls(name, hosts), *_entra(name, entra, plan.scope, needs=f"{name}.tls")]
    token = f"{name}.token"
    if not trip.senders:
        return [*steps, _nobody(f"{name}.mailbox", needs=token)]
    looks = [
        replace(_mailbox(name, graph, sender, trip.label(sender)), deadline=trip.deadline) for sender in trip.senders
    ]
    keys = tuple(look.key for look in looks)
    sends = [_send(name, graph, sender, look) for sender, look in zip(trip.senders, looks, strict=True)]
    sends = [replace(step, after=keys, deadline=trip.deadline) for step in sends]
    mails = _graph_mails(name, graph, trip, sends)
    return [
        *steps,
        *looks,
        *sends,
        *mails,
        _proof(name, graph, needs=token, after=keys),
        _reports(name, graph, trip, needs=token),
    ]


def smtp_steps(plan: SmtpPlan, smtp: SmtpExam, entra: EntraExam | None, trip: Trip) -> list[Step]:
    """DNS, the port, EHLO, STARTTLS, token, AUTH, MAIL FROM and RCPT TO without DATA, a real message."""
    name = plan.name
    aside = "" if plan.proxy is None else f"; SMTP does not go by the proxy {plan.proxy}, only HTTPS does"
    steps = [*_path(name, [plan.host], aside), _ehlo(name, smtp)]
    if plan.security == "starttls":
        steps.append(_starttls(name, smtp))
    if entra is not None:
        steps += _entra(name, entra, plan.scope, needs=steps[-1].key)
    last = steps[-1].key
    senders = trip.senders or ([Sender(plan.username, plan.username)] if plan.username else [])
    if not senders:
        return [*steps, _nobody(f"{name}.auth", needs=last)]
    before: Sequence[str] = ()
    for sender in senders:  # one after the other: each is a connection
        made = _dialogue(name, smtp, sender, trip)
        made[0] = replace(made[0], needs=(last,), after=before)
        before = (made[-1].key,)
        steps += made
    return steps


def _path(name: str, hosts: Sequence[Host], aside: str = "") -> list[Step]:
    near = dict.fromkeys(host.near[0] for host in hosts)
    return [
        Step(
            name=f"{name}.dns",
            tried=f"resolve {' and '.join(near)}",
            why="without an address nothing can be reached",
            look=lambda: network.resolve(hosts),
            needs=(CONFIGURATION,),
        ),
        Step(
            name=f"{name}.tcp",
            tried=f"connect to {' and '.join(map(str, hosts))}{aside}",
            why="a firewall that closes this port keeps all mail here",
            look=lambda: network.connect(hosts),
            needs=(f"{name}.dns",),
        ),
    ]


def _tls(name: str, hosts: Sequence[Host]) -> Step:
    return Step(
        name=f"{name}.tls",
        tried="speak TLS and verify the certificates",
        why="a proxy that opens TLS reads tokens and mail, and often breaks both",
        look=lambda: network.handshake(hosts),
        needs=(f"{name}.tcp",),
    )


def _entra(name: str, entra: EntraExam, scope: str, *, needs: str) -> list[Step]:
    tenant = entra.plan.options.tenant_id
    token = Step(
        name=f"{name}.token",
        tried=f"ask Entra ID for a token for {scope.removesuffix('/.default')}",
        why="every request carries one; a secret or a certificate that ends stops all mail",
        look=lambda: entra.token(scope),
        needs=(f"{name}.tenant" if tenant else needs,),
        deadline=TOKEN_SECONDS,
    )
    if not tenant:  # the identity of a machine: the machine is asked, not Entra's door
        return [token]
    step = Step(
        name=f"{name}.tenant",
        tried=f"ask {entra.plan.host.name} for the sign-in document of the tenant {tenant}",
        why="it must be this tenant, in this cloud, and the clocks must agree",
        look=entra.tenant,
        needs=(needs,),
    )
    return [step, token]


def _mailbox(name: str, graph: GraphExam, sender: Sender, label: str) -> Step:
    return Step(
        name=f"{name}.mailbox",
        mailbox=label,
        tried=f"look in {sender.mailbox} for a message that nobody sent",
        why="the mailbox must exist, be licensed or shared, and lie in the scope of the app's rights",
        look=lambda: graph.look_up(sender),
        needs=(f"{name}.token",),
    )


def _send(name: str, graph: GraphExam, sender: Sender, look: Step) -> Step:
    return Step(
        name=f"{name}.send",
        mailbox=look.mailbox,
        tried=f"offer Graph a message from {sender.address} without recipients, which it must refuse for that alone",
        why="without the right to send nothing leaves by Graph",
        look=lambda: graph.send_right(sender),
        needs=(look.key,),
    )


def _graph_mails(name: str, graph: GraphExam, trip: Trip, sends: Sequence[Step]) -> list[Step]:
    to = trip.to
    if to is None:
        return []
    pairs = zip(trip.senders, sends, strict=True)
    return [_mail(name, sender, send, lambda one: graph.message(one, to)) for sender, send in pairs]


def _mail(name: str, sender: Sender, before: Step, send: Callable[[Sender], Awaitable[Seen]]) -> Step:
    return Step(
        name=f"{name}.message",
        mailbox=before.mailbox,
        tried=f"send a real message from {sender.address}",
        why="only this proves all of it",
        look=lambda: send(sender),
        needs=(before.key,),
    )


def _proof(name: str, graph: GraphExam, *, needs: str, after: Sequence[str]) -> Step:
    return Step(
        name=f"{name}.proof",
        tried="tell what could show, after a lost answer, whether a message left",
        why="without a proof such a message waits for a person",
        look=graph.proof,
        needs=(needs,),
        after=after,
    )


def _ehlo(name: str, smtp: SmtpExam) -> Step:
    return Step(
        name=f"{name}.ehlo",
        tried="read the greeting and say EHLO",
        why="something else than the mail server may answer at this port",
        look=smtp.greet,
        needs=(f"{name}.tcp",),
    )


def _starttls(name: str, smtp: SmtpExam) -> Step:
    return Step(
        name=f"{name}.starttls",
        tried="say STARTTLS and verify the certificate",
        why="without it the login and the mail would go in clear",
        look=smtp.secure,
        needs=(f"{name}.ehlo",),
    )


def _dialogue(name: str, smtp: SmtpExam, sender: Sender, trip: Trip) -> list[Step]:
    """Login, envelope and real message of one sender."""
    label, to = trip.label(sender), trip.to
    auth = Step(
        name=f"{name}.auth",
        mailbox=label,
        tried=f"log in as {smtp.account(sender)}",
        why="SMTP AUTH is often off, for the tenant or for the mailbox, for tokens too",
        look=lambda: smtp.authenticate(sender),
    )
    envelope = Step(
        name=f"{name}.envelope",
        mailbox=label,
        tried="say MAIL FROM and RCPT TO, and take them back: nothing is sent",
        why="the server may refuse the account only now",
        look=lambda: smtp.envelope(sender, to),
        needs=(auth.key,),
    )
    if to is None:
        return [auth, envelope]
    return [auth, envelope, _mail(name, sender, envelope, lambda one: smtp.message(one, to))]


def _reports(name: str, graph: GraphExam, trip: Trip, *, needs: str) -> Step:
    return Step(
        name=f"{name}.reports",
        tried="who reads the reports about mail that did not arrive",
        why="Exchange takes mail first, and says afterwards, in the mailbox that sent it, that nobody got it",
        look=graph.reports,
        needs=(needs,),
        deadline=trip.deadline,
    )


def _nobody(name: str, *, needs: str) -> Step:
    async def look() -> Seen:
        return Seen(result=Result.UNKNOWN, words=_NOBODY)

    return Step(
        name=name,
        tried="find a sender to try with",
        why="rights are those of a mailbox: without one nothing is proved",
        look=look,
        needs=(needs,),
    )
