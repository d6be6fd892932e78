"""By which form each transport of a route could carry a message, and why not: pure (PROMISES §6, FACTS A6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.draftable import loss
from posthouse.fixes import RIGHT_TO_DRAFTS
from posthouse.headers import fit_to_envelope
from posthouse.message import Bytes, Content
from posthouse.refusal import Condition, Refused
from posthouse.structure import Index, Part

EXCHANGE_MOST: Final = 157_286_400
"""Bytes of the largest message that Exchange Online takes, and the SIZE that its submission offers: 150 MB (FACTS B1, D1)."""

_BCC_MOST: Final = 330  # octets of an address in a Bcc field: 320 (RFC 5321 §4.5.3.1), comma, fold
_SMALL: Final = 1_048_576  # bytes up to which no limit of a transport is near, so that the wire form need not be made

Form = Literal["mime", "draft", "smtp"]
Loss = Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a message weighs: its bytes as kept, those of its wire form through Graph, and what a draft of it would lose."""

    size: int
    wire: int
    loss: Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one transport of the route stands to a message; ``lift`` says what would let a larger one go."""

    transport: str
    form: Form
    able: bool
    limit: int | None
    why: str
    lift: str = ""


def load_of(content: Content, *, recipients: Sequence[str], structure: Part | None) -> Load:
    """What a message weighs; ``structure`` is that of a body that does not lie in memory.

    Its wire form through Graph has exactly the recipients of the envelope in its header (PROMISES §8).
    """
    about = content.size + _BCC_MOST * (len(recipients) + 1)
    if about > _SMALL:
        about = len(fit_to_envelope(content.header, recipients=recipients).header) + 2 + content.body.size
    return Load(size=content.size, wire=about, loss=lambda: loss(content.header, structure or _structure(content)))


def _structure(content: Content) -> Part | None:
    if not isinstance(content.body, Bytes):
        return None
    index = Index(content.header)
    index.feed(content.body.data)
    return index.end()


def by_smtp(name: str, load: Load, *, offered: int | None) -> Way:
    """SMTP carries it as it is, up to the SIZE that the server offered last (None: Exchange's)."""
    limit = EXCHANGE_MOST if offered is None else offered
    able = not limit or load.size <= limit  # 0: no fixed limit (RFC 1870 §4)
    why = "SMTP carries it as it is" if able else f"its server takes {limit} bytes (SIZE)"
    lift = f"raise the SIZE of {name}'s server (Exchange Online: Set-Mailbox <mailbox> -MaxSendSize 150MB)"
    return Way(transport=name, form="smtp", able=able, limit=limit or None, why=why, lift=lift)


def by_graph(name: str, load: Load, *, limit: int | None, drafts: bool) -> Way:
    """One request where it fits, else a draft and upload sessions, where the settings allow that and nothing is lost."""
    if limit is None or load.wire <= limit:
        return Way(transport=name, form="mime", able=True, limit=limit, why="it fits one request of Graph")
    over = f"it is over Graph's {limit} bytes for one request"
    if not drafts:
        lift = f"set drafts = true in [transports.{name}], with the right to write drafts: {RIGHT_TO_DRAFTS}"
        return Way(transport=name, form="mime", able=False, limit=limit, why=f"{over}, and drafts = false", lift=lift)
    lost = load.loss()
    if lost is not None:
        return Way(transport=name, form="draft", able=False, limit=limit, why=f"{over}, and a draft would lose {lost}")
    able = load.size <= EXCHANGE_MOST
    why = f"{over}, so it goes as a draft with upload sessions" if able else "it is larger than Exchange takes"
    return Way(transport=name, form="draft", able=able, limit=EXCHANGE_MOST, why=why)


def in_order(ways: Sequence[Way]) -> list[str]:
    """The transports that can carry it: those that leave it as it is first, then drafts, each in the route's order."""
    able = [way for way in ways if way.able]
    return [way.transport for way in able if way.form != "draft"] + [
        way.transport for way in able if way.form == "draft"
    ]


def most(ways: Sequence[Way]) -> int | None:
    """The bytes that the roomiest of these ways takes; None where one has no limit."""
    limits = [way.limit for way in ways]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def too_large(ways: Sequence[Way], load: Load, *, complete: bool) -> Refused:
    """The refusal that names the limit of every way and what lifts it; an incomplete message has at least this size."""
    limit = most(ways) or EXCHANGE_MOST
    reasons = "; ".join(f"{way.transport}: {way.why}" for way in ways)
    lifts = [way.lift for way in ways if way.lift]
    if all(way.form != "smtp" for way in ways):
        lifts.insert(0, "put an SMTP transport into the route of this sender")
    has = f"has {load.wire}" if complete else f"has more than {load.size}"
    detail = f"the message {has} bytes on the wire, its route carries at most {limit} ({reasons})"
    if lifts:
        detail += f". To lift the limit, {', or '.join(lifts)}"
    return Refused(Condition.MESSAGE_TOO_LARGE, detail, limit_bytes=limit)
