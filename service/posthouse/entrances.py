"""From settings to the ways in: which doors an HTTP listener has, and where the SMTP door listens; opens nothing yet."""

import socket

from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Keys
from posthouse.doors.graph import app as graph
from posthouse.doors.graph import entra
from posthouse.doors.http.application import Door
from posthouse.doors.listener import Tls
from posthouse.doors.resend import app as resend
from posthouse.doors.rest import app as rest
from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.meter import Meter
from posthouse.ports import Clock
from posthouse.settings.model import Settings
from posthouse.settings.role import Role
from posthouse.submission import DoorStep


def http_doors(settings: Settings, role: Role, *, clock: Clock, admin: bool) -> list[Door]:
    """The doors of an HTTP listener; the native one is the last and has what no other speaks for."""
    if admin or not role.takes:
        return [rest.door(admin=True)] if admin else [rest.PROBES]
    doors = [graph.door(clock), resend.door(), rest.door(admin=False)]
    if not settings.graph_door.token_endpoint:
        return doors
    return [entra.door(clock, public_url=settings.http.public_url), *doors]


def smtp_listeners(
    settings: Settings, *, step: DoorStep, keys: Keys, keeper: Keeper, meter: Meter
) -> list[SmtpListener]:
    """The listeners of the SMTP door."""
    return [
        SmtpListener(
            Address(
                listen=door.listen,
                hostname=socket.gethostname(),
                certificate=Tls(certificate=door.tls_cert, key=door.tls_key)
                if door.tls_cert and door.tls_key
                else None,
                oldest=door.tls_min,
                implicit=door.tls == "implicit",
                clear=door.tls == "optional",
                networks=door.networks,
                proxies=settings.http.trusted_proxies if door.proxy_protocol else (),
            ),
            step=step,
            keys=keys,
            keeper=keeper,
            meter=meter,
        )
        for door in settings.smtp_door.listeners
    ]
