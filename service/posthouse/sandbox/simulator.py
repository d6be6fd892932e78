"""The simulator addresses of CONTRACT section 5: recipients that stand for what may happen to a mail."""

from collections.abc import Iterable
from typing import Final

from posthouse.sandbox.chaos import Rule, Stage, Target
from posthouse.sandbox.mime import Mail
from posthouse.sandbox.world import World

_DOMAIN: Final = "@simulator.test"
_DEFERRALS: Final = 2
_GRAPH: Final = {
    "deferred": Rule(target=Target.GRAPH, fault="503"),
    "failed": Rule(target=Target.GRAPH, fault="400", code="ErrorInvalidRecipients"),
    "throttled": Rule(target=Target.GRAPH, fault="429", retry_after=5.0),
    "unconfirmed": Rule(target=Target.GRAPH, fault="504-after-send"),
    "slow": Rule(target=Target.GRAPH, fault="slow", seconds=5.0),
}
_DOT: Final = Stage.AFTER_DOT
_SMTP: Final = {
    "deferred": Rule(target=Target.SMTP, stage=_DOT, fault="451 4.7.0 Temporary server error. Please try again later."),
    "failed": Rule(target=Target.SMTP, stage=_DOT, fault="550 5.1.3 Invalid address"),
    "throttled": Rule(
        target=Target.SMTP, stage=_DOT, fault="432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"
    ),
    "unconfirmed": Rule(target=Target.SMTP, stage=_DOT, fault="drop-after-send"),
    "slow": Rule(target=Target.SMTP, stage=_DOT, fault="slow", seconds=5.0),
}
_TIMES: Final = {"deferred": _DEFERRALS, "throttled": 1}


def simulated(world: World, mail: Mail, *, target: Target, recipients: Iterable[str]) -> Rule | None:
    """The fault that a simulator address among the recipients asks for now, None for sent@ and all others.

    Deferred mail is put off twice and throttled mail once, over both transports together, told by its Message-ID;
    ``unconfirmed@`` is accepted each time.
    """
    rules = _SMTP if target is Target.SMTP else _GRAPH
    for recipient in recipients:
        name, at, domain = recipient.lower().partition("@")
        if at + domain != _DOMAIN or name not in rules:
            continue
        key = (name, mail.message_id or mail.subject)
        world.simulated[key] += 1
        if world.simulated[key] <= _TIMES.get(name, world.simulated[key]):
            return rules[name]
    return None
