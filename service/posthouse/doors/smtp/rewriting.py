"""Mail of devices whose From cannot be changed goes as a sender that its client may use (CONTRACT §3)."""

from typing import Final

from posthouse import headers as edit
from posthouse.encoded import Unfit, fold, mailbox
from posthouse.policy import Client, matches

_NULL: Final = "<>"


def sender_of(client: Client, address: str) -> str:
    """The reverse-path as it counts: that of the client's terms where it may not use its own."""
    own = client.terms.rewrite_from
    return address if own is None or address == _NULL or matches(client.senders, address) else own


def rewritten(header: bytes, client: Client) -> bytes:
    """The header with a From that the client may use; the name that stood there stays, Sender goes."""
    own = client.terms.rewrite_from
    if own is None:
        return header
    found = edit.people(header, "From")
    if len(found) == 1 and matches(client.senders, found[0][1]) and not edit.malformed(header, "From"):
        return header
    name = found[0][0] if found else ""
    try:
        pieces = mailbox(name, own, at="From")
    except Unfit:
        pieces = [own]
    return edit.without(header, "From", "Sender") + fold("From", pieces).encode()
