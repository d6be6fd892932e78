"""``--apply``: the clients and keys of a plan are made by the running service, each with its card, none of them twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from posthouse.cli.exits import Code, Stop
from posthouse.cli.migrate.cards import Card, CardFile
from posthouse.cli.output import Output, count
from posthouse.migration.plan import NewClient, Plan

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Key, Listing

DEVICE: Final = "device"
"""The kind of key that has a short user and password, for SMTP alone."""

SUBMISSION: Final = 587


class Keys(StrEnum):
    """Which keys are made: as the plan says, or ``api`` keys for all, which SMTP programs use as password too."""

    PLANNED = "planned"
    API = "api"


class Encryption(StrEnum):
    """How a program reaches the SMTP door."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"

    @property
    def shown(self) -> str:
        """As it stands on a card, and in the menus of devices."""
        return self.value if self is Encryption.NONE else self.value.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the programs will send: what stands on every card."""

    host: str
    port: int
    encryption: Encryption


async def make(desk: "Desk", plan: Plan, file: CardFile, *, place: Place, keys: Keys, out: Output) -> Code | None:
    """Make what is missing; raises Stop where a key could not be made, after telling what was."""
    listing: Listing[Key] = await desk.get("/v1/keys")
    there = {key["client"]: key["id"] for key in listing["data"] if _counts(key)}
    told: dict[str, int] = dict.fromkeys(_STATES, 0)
    try:
        for client in plan.clients:
            card = file.find(sender=client.sender, from_address=client.source)
            state, key_id = "exists" if card else "elsewhere", card.key_id if card else there.get(client.name)
            if key_id is None:
                state, key_id = "made", await _made(desk, client, file, place=place, keys=keys)
            told[state] += 1
            _tell(out, client, state, key_id)
    except Stop as stop:
        raise Stop(Code.PARTLY if told["made"] else stop.code, f"{client.name}: {stop}") from stop
    finally:
        _sum(out, told)
    return Code.PARTLY if told["elsewhere"] else None


_STATES: Final = ("made", "exists", "elsewhere")


def _sum(out: Output, told: Mapping[str, int]) -> None:
    out.note(f"{count(told['made'], 'key')} made, {told['exists']:,} in the file already")
    if told["elsewhere"]:
        out.note(
            f"{count(told['elsewhere'], 'client')} had a key that is not in the file, and its password is not shown again: "
            "posthouse keys revoke ID, then the same command makes a new one"
        )


def place_of(desk: "Desk", *, host: str | None, port: int | None, encryption: Encryption | None) -> Place:
    """What was said, else what the settings of this machine's service say, else submission at the service's host."""
    if desk.url is not None or (host and port):
        there = urlsplit(desk.url or "").hostname
        return Place(
            host=host or there or "localhost", port=port or SUBMISSION, encryption=encryption or Encryption.STARTTLS
        )
    listener = _listener()
    return Place(host=host or listener.host, port=port or listener.port, encryption=encryption or listener.encryption)


def _listener() -> Place:
    from posthouse.cli.doorway import own_doorway
    from posthouse.settings.problems import SettingsError

    try:
        door = own_doorway()
    except SettingsError as error:
        raise Stop(
            Code.CONFIGURATION, f"--host and --port are needed, because the settings are wrong:\n{error}"
        ) from None
    if door is None:
        raise Stop(Code.CONFIGURATION, "the SMTP door is closed: [[smtp_door.listeners]]; or say --host and --port")
    ways = {"starttls": Encryption.STARTTLS, "implicit": Encryption.TLS, "optional": Encryption.NONE}
    return Place(host=door.host, port=door.port, encryption=ways[door.tls])


def _counts(key: "Key") -> bool:
    over = key["expires_at"] is not None and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return key["revoked_at"] is None and not over


async def _made(desk: "Desk", client: NewClient, file: CardFile, *, place: Place, keys: Keys) -> str:
    device = client.device and keys is Keys.PLANNED
    body: dict[str, object] = {"client": client.name, "senders": [client.sender]}
    made: Mapping[str, str] = await desk.post("/v1/keys", body | ({"kind": DEVICE} if device else {}))
    card = Card(
        client=client.name,
        sender=client.sender,
        from_address=client.source,
        kind=DEVICE if device else "api",
        host=place.host,
        port=str(place.port),
        encryption=place.encryption.shown,
        user=made["user"] if device else client.name,
        password=made["password"] if device else made["key"],
        key_id=made["id"],
    )
    try:
        file.add(card)
    except OSError as error:
        raise Stop(
            Code.FAILED, f"key {card.key_id} was made, but its card cannot be written ({error.strerror}): revoke it"
        ) from error
    return card.key_id


def _tell(out: Output, client: NewClient, state: str, key_id: str) -> None:
    if out.as_json:
        out.item({"client": client.name, "sender": client.sender, "state": state, "key_id": key_id})
        return
    words: Mapping[str, Callable[[], str]] = {
        "made": lambda: f"{client.name} made ({key_id})",
        "exists": lambda: f"{client.name} is in the file already ({key_id})",
        "elsewhere": lambda: f"{client.name} has a key already ({key_id}), which is not in the file",
    }
    out.line(words[state]())
