"""From settings to what the doctor examines, beside a running service or where none can start; opens nothing yet."""

import os
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from posthouse.cellar import open_spool
from posthouse.clock import SteadyClock
from posthouse.doctor.checkup import examine_all, unread
from posthouse.doctor.network import Host
from posthouse.doctor.plan import EntraPlan, GraphPlan, Plan, SmtpPlan
from posthouse.doctor.steps import Seen
from posthouse.doctor.turns import one_by_one
from posthouse.findings import Doctor, Finding, Result, Wish, trouble
from posthouse.policy import folded
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.remote import entra_options, server, trust
from posthouse.settings.model import EntraSettings, GraphSettings, Settings, SmtpSettings
from posthouse.settings.problems import Problem, SettingsError
from posthouse.settings.role import Role
from posthouse.settings.secret import SecretError
from posthouse.spool.refused import SpoolRefusedError
from posthouse.transports.clouds import CLOUDS
from posthouse.transports.proxies import Proxies
from posthouse.transports.tokens import TokenSource, credential_factory

LOCK_SECONDS: Final = 0.5
"""For which the doctor waits for a spool that another process has open."""

_HTTPS: Final = 443
_OF_THE_SPOOL: Final = frozenset({"spool", "secrets"})


class Load(Protocol):
    """Reads the settings as they are written now."""

    def __call__(self, *, only: Collection[str] | None = None) -> Settings:
        """What is wrong outside of the tables ``only`` is taken out; raises SettingsError."""
        ...


def beside(settings: Settings, *, load: Load, spool: Spool, clock: Clock) -> Doctor:
    """The doctor of a running service: the settings as they are written now, the spool that it has open; one at a time."""

    async def senders() -> Sequence[str]:
        try:
            return await senders_of(spool)
        except SpoolUnavailableError:
            return ()

    async def doctor(wish: Wish) -> AsyncGenerator[Finding]:
        written, problems = readable(load)
        plan = plan_of(
            written or settings,
            problems=problems,
            changed=written != settings,
            storage=lambda: stored(settings, spool.writable),
            senders=senders,
            clock=clock,
        )
        async with aclosing(examine_all(plan, wish)) as findings:
            async for finding in findings:
                yield finding

    return one_by_one(doctor)


def alone(load: Load, *, owner: str) -> Doctor:
    """The doctor where no service runs, perhaps because none can start: the spool is opened if there is one, never made."""

    async def doctor(wish: Wish) -> AsyncGenerator[Finding]:
        written, problems = readable(load)
        if written is None:
            yield unread(configuration(problems))
            return
        spool = _Closed(written, owner=owner)
        plan = plan_of(
            written, problems=problems, changed=False, storage=spool.storage, senders=spool.senders, clock=spool.clock
        )
        try:
            async with aclosing(examine_all(plan, wish)) as findings:
                async for finding in findings:
                    yield finding
        finally:
            await spool.close()

    return doctor


def plan_of(
    settings: Settings,
    *,
    problems: Sequence[Problem],
    changed: bool,
    storage: Callable[[], Awaitable[Seen]],
    senders: Callable[[], Awaitable[Sequence[str]]],
    clock: Clock,
) -> Plan:
    """What these settings say; ``problems`` are what was taken out of them, ``changed``: a service runs with others."""

    async def configured() -> Seen:
        return configuration(problems, changed=changed)

    async def known() -> Sequence[str]:
        return [*exact(settings), *(await senders())]

    apps = _Apps(clock, settings.proxies)
    graphs = [
        apps.graph(name, one, one.entra or settings.entra)
        for name, one in settings.transports.items()
        if isinstance(one, GraphSettings)
    ]
    smtps = [
        apps.smtp(name, one, one.entra or settings.entra)
        for name, one in settings.transports.items()
        if isinstance(one, SmtpSettings)
    ]
    return Plan(
        configuration=configured,
        storage=storage,
        sound=not any(problem.path.partition(".")[0] in _OF_THE_SPOOL for problem in problems),
        graphs=graphs,
        smtps=smtps,
        senders=known,
        mailboxes={folded(rule.address): rule.mailboxes for rule in settings.senders if rule.mailboxes},
        monotonic=clock.monotonic,
        wall=time.time,
    )


def configuration(problems: Sequence[Problem], *, changed: bool = False) -> Seen:
    """What is wrong with the settings, all of it."""
    if not problems:
        return Seen(words="sound; they differ from those in force: restart the service" if changed else "sound")
    words = "; ".join(str(problem) for problem in problems)
    secret = all("cannot be read" in problem.rule or "empty or not set" in problem.rule for problem in problems)
    fix = "settings.unreadable" if secret else "settings.wrong"
    return Seen(result=Result.FAILED, words=words, trouble=trouble(fix))


def readable(load: Load) -> tuple[Settings | None, Sequence[Problem]]:
    """The settings with what is wrong taken out, and what that is; None where there is nothing to read."""
    try:
        return load(), ()
    except SettingsError as error:
        problems = error.problems
    try:
        return load(only=()), problems
    except SettingsError:
        return None, problems


def exact(settings: Settings) -> Iterable[str]:
    """The addresses that the settings let somebody send as; patterns are none."""
    yield from (rule.address for rule in settings.senders)
    yield from addresses(sender for client in settings.clients for sender in client.senders)


def addresses(patterns: Iterable[str]) -> Iterable[str]:
    """Those of the patterns that are addresses."""
    return (pattern for pattern in patterns if "*" not in pattern)


async def stored(settings: Settings, writable: Callable[[], Awaitable[str | None]]) -> Seen:
    """Whether an open spool can be written, and the room under it."""
    reason = await writable()
    if settings.many_processes:
        return Seen(words="the database takes writes") if reason is None else _unkept("spool.unreachable", reason, {})
    path = settings.spool_path()
    names = {"folder": str(path.parent)}
    if reason is None:
        return Seen(words=f"{path} takes writes; {_free(path.parent) >> 20:,} MB free")
    low = _free(path.parent) <= settings.spool.floor_bytes + (1 << 20)
    return _unkept("spool.low" if low else "spool.unwritable", reason, names)


async def senders_of(spool: Spool) -> Sequence[str]:
    """Whom the keys of a spool may send as."""
    keys = (await spool.identities()).keys
    return list(addresses(sender for key in keys if key.revoked_at is None for sender in key.senders))


class _Closed:
    """A spool that nobody has open: opened when it is asked for."""

    def __init__(self, settings: Settings, *, owner: str) -> None:
        self._settings = settings
        self._owner = owner
        self.clock = SteadyClock()
        self._spool: Spool | None = None
        self._seen: Seen | None = None

    async def storage(self) -> Seen:
        """Open it, and write."""
        await self._open()
        if self._seen is not None:
            return self._seen
        return await stored(self._settings, self._writable)

    async def senders(self) -> Sequence[str]:
        """Whom its keys may send as."""
        await self._open()
        return () if self._spool is None else await senders_of(self._spool)

    async def close(self) -> None:
        """Give it back."""
        if self._spool is not None:
            await self._spool.close()

    async def _writable(self) -> str | None:
        return None if self._spool is None else await self._spool.writable()

    async def _open(self) -> None:
        if self._spool is not None or self._seen is not None:
            return
        settings = self._settings
        try:
            if not settings.many_processes and not settings.spool_path().exists():
                self._seen = _to_be_made(settings)
                return
            role = Role.DOORS if settings.many_processes else Role.ALL
            self._spool = await open_spool(settings, role, owner=self._owner, clock=self.clock, wait=LOCK_SECONDS)
        except SpoolRefusedError as error:
            self._seen = _unkept(error.fix, str(error), self._names())
        except SpoolUnavailableError as error:
            self._seen = _unkept("spool.unreachable", str(error), self._names())
        except SecretError as error:
            self._seen = _unkept("settings.unreadable", str(error), self._names())

    def _names(self) -> Mapping[str, str]:
        return {} if self._settings.many_processes else {"folder": str(self._settings.spool_path().parent)}


def _to_be_made(settings: Settings) -> Seen:
    """Whether the first start could make the spool: its folder, or the nearest one above that is there, takes a file."""
    path = settings.spool_path()
    place = next((folder for folder in path.parents if folder.exists()), path.parent)
    names = {"folder": str(path.parent)}
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"posthouse")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return _unkept("spool.unwritable", f"{place} takes no file: {error.strerror}", names)
    free = _free(place)
    if free < settings.spool.floor_bytes:
        floor = settings.spool.floor_bytes >> 20
        return _unkept("spool.low", f"only {free >> 20:,} MB are free; {floor:,} MB are needed", names)
    return Seen(words=f"there is no spool yet; {path.parent} could hold it, {free >> 20:,} MB are free")


def _unkept(fix: str, words: str, names: Mapping[str, str]) -> Seen:
    return Seen(result=Result.FAILED, words=words, trouble=trouble(fix, names=names))


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class _Apps:
    """The Entra apps of the transports, each once."""

    def __init__(self, clock: Clock, proxies: Proxies) -> None:
        self._clock = clock
        self._proxies = proxies
        self._plans: dict[EntraSettings, EntraPlan] = {}

    def graph(self, name: str, transport: GraphSettings, entra: EntraSettings) -> GraphPlan:
        """A transport of kind graph."""
        cloud = CLOUDS[entra.cloud]
        base_url = transport.base_url or cloud.graph_url
        ca_file = transport.ca_file or entra.ca_file

        return GraphPlan(
            name=name,
            base_url=base_url,
            scope=cloud.graph_scope,
            entra=self._entra(entra),
            host=self._host(base_url, ca_file),
            trust=lambda: trust(ca_file),
            drafts=transport.drafts,
            bounces=transport.bounces,
            proxies=self._proxies,
        )

    def smtp(self, name: str, transport: SmtpSettings, entra: EntraSettings) -> SmtpPlan:
        """A transport of kind smtp."""
        cloud = CLOUDS[entra.cloud]
        ca_file = transport.ca_file or entra.ca_file
        app = self._entra(entra) if transport.auth == "xoauth2" else None
        return SmtpPlan(
            name=name,
            host=Host(transport.host or cloud.smtp_host, transport.port, lambda: trust(ca_file)),
            security=transport.security,
            # the tokens are those that the step before fetched
            server=lambda tokens: server(transport, entra, tokens=tokens),
            scope=cloud.smtp_scope,
            entra=app,
            username=transport.username.lower() if transport.auth == "login" else None,
            proxy=self._proxies.https,
        )

    def _entra(self, entra: EntraSettings) -> EntraPlan:
        if entra not in self._plans:
            cloud, options = CLOUDS[entra.cloud], entra_options(entra, self._proxies)
            self._plans[entra] = EntraPlan(
                options=options,
                host=self._host(options.authority, entra.ca_file),
                cloud=entra.cloud,
                graph_host=urlsplit(cloud.graph_url).hostname or "",
                trust=lambda: trust(entra.ca_file),
                tokens=lambda: TokenSource(
                    factory=credential_factory(options), scopes=(), clock=self._clock, by_proxy=options.by_proxy
                ),
            )
        return self._plans[entra]

    def _host(self, url: str, ca_file: Path | None) -> Host:
        parts = urlsplit(url)
        return Host(parts.hostname or url, parts.port or _HTTPS, lambda: trust(ca_file), self._proxies.to(url))
