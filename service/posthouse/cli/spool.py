"""``posthouse spool``: care of the spool where it lies; backup and check work beside a running service."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson, earlier
from posthouse.cli.output import Output, count, moment, output

if TYPE_CHECKING:
    from posthouse.settings.model import Settings
    from posthouse.spool.postgres.database import Address
    from posthouse.spool.reports import KeyUse, Report
    from posthouse.spool.sealing import Secrets
    from posthouse.spool.sqlite.store import SqliteSpool

_R = TypeVar("_R")


def backup(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it replaces one that is there.")],
    with_master: Annotated[
        Path | None, typer.Option("--with-master", metavar="FILE", help="Write the master too, apart from the copy.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the spool into one file while the service runs; without its master the copy is useless."""
    from posthouse.spool.sqlite.backup import back_up
    from posthouse.spool.sqlite.files import place_whole

    settings, secrets = _here()
    if settings.many_processes:
        raise Stop(
            Code.CONFIGURATION,
            "the spool lies in PostgreSQL: back the database up with its own means (pg_dump, or base backups and WAL), "
            "keep [secrets] master apart, and run `posthouse spool restored` on what you restore before workers start.",
        )
    path = settings.spool_path()
    taken_at = time.time_ns() // 1_000_000

    def work() -> tuple[str, ...]:
        key_ids = back_up(path, file.absolute(), now=taken_at)
        if with_master is not None:
            place_whole(with_master.absolute(), f"{_master(path, secrets)}\n".encode())
        return key_ids

    key_ids = _told(work)
    out = output(as_json=as_json)
    if out.as_json:
        out.item(
            {"file": str(file), "taken_at": _iso(taken_at), "key_ids": list(key_ids), "master": _text(with_master)}
        )
    else:
        out.line(str(file))
    where = f"it lies in {with_master}: keep that apart" if with_master else "keep that too, and apart"
    named = ", ".join(key_ids) or "none yet"
    out.note(f"note: the copy is useless without the master (key id {named}); {where}")


def restored(
    taken_at: Annotated[
        str | None, typer.Option("--taken-at", help="When the snapshot was taken; 2h ago, or a time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say that this spool is a snapshot: what may have gone since is looked for before it is sent."""
    at = None if taken_at is None else int(datetime.fromisoformat(earlier(taken_at)).timestamp() * 1000)
    settings, _ = _here()
    if settings.many_processes:
        from posthouse.spool.postgres.care import mark_restored

        address = address_of(settings)
        known = _told(lambda: asyncio.run(mark_restored(address, taken_at=at)))
    else:
        known = _opened(lambda spool: spool.mark_restored(taken_at=at))
    out = output(as_json=as_json)
    if out.as_json:
        out.item({"taken_at": _iso(known)})
    else:
        out.line(f"a copy of {moment(_iso(known))}")
    out.note("note: the next start finds out what was sent after that, before it sends anything again")


def check(as_json: AsJson = False) -> None:
    """Is the spool sound, and can every content be opened? Exit code 1 where not."""
    settings, secrets = _here()
    if settings.many_processes:
        from posthouse.spool.postgres.care import check as check_database

        address = address_of(settings)
        report = _told(lambda: asyncio.run(check_database(address, secrets)))
    else:
        from posthouse.spool.sqlite.check import check as check_file

        report = _told(lambda: check_file(settings.spool_path(), secrets))
    out = output(as_json=as_json)
    if out.as_json:
        whole = dataclasses.asdict(report)
        out.item({"ok": report.ok, **whole, "previous_needed": report.previous_needed})
    else:
        _show(report, out, rotating=bool(secrets.previous))
    if not report.ok:
        raise Stop(Code.FAILED)


def copy(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The SQLite spool, such as /var/lib/posthouse/spool.sqlite.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move a SQLite spool into the PostgreSQL spool of the settings; the file serves no more."""
    from posthouse.cli.moving import move

    settings, secrets = _here()
    if not settings.many_processes:
        raise Stop(Code.CONFIGURATION, "spool.url: name the PostgreSQL database into which the spool is to be moved.")
    address = address_of(settings)
    counts = _told(lambda: asyncio.run(move(file.absolute(), address, secrets)))
    out = output(as_json=as_json)
    if out.as_json:
        out.item({"file": str(file), "moved": counts is not None, "rows": dict(counts or {})})
    elif counts is None:
        out.line("nothing to do: this spool is there already")
    else:
        out.line(
            f"{count(counts['messages'], 'message')}, {count(counts['events'], 'event')}, {count(counts['keys'], 'key')}"
        )
    out.note(f"note: {file} serves no more; keep it until `posthouse serve` runs on the database")


def migrate(as_json: AsJson = False) -> None:
    """Bring the spool to this version's schema; `posthouse serve` does that too."""
    settings, _ = _here()
    before, after = _brought_up(settings)
    out = output(as_json=as_json)
    if out.as_json:
        out.item({"from": before, "to": after})
    else:
        out.line(f"schema {before}" + (f" -> {after}" if after != before else ": nothing to do"))


def _brought_up(settings: "Settings") -> tuple[int, int]:
    """The schema before and after; raises Stop."""
    if settings.many_processes:
        from posthouse.spool.postgres.care import bring_up

        address = address_of(settings)
        return _told(lambda: asyncio.run(bring_up(address)))
    from posthouse.spool.sqlite.opening import stands
    from posthouse.spool.sqlite.schema import newest

    before = _told(lambda: stands(settings.spool_path()))

    async def nothing(_: "SqliteSpool") -> None:
        return None

    _opened(nothing)
    return before, max(before, newest())


def address_of(settings: "Settings") -> "Address":
    """Where the spool's database is."""
    from posthouse.spool.postgres.database import Address

    kept = settings.spool
    listen = kept.listen_url.read() if kept.listen_url is not None else None
    return Address(dsn=settings.spool_url(), pooler=kept.pooler, listen_dsn=listen)


def _show(report: "Report", out: Output, *, rotating: bool) -> None:
    for fault in report.faults:
        out.line(f"damaged: {fault}")
    for finding in report.findings:
        out.line(f"{finding.rule}: {finding.count} ({', '.join(finding.examples)})")
    for use in report.keys:
        out.line(_use(use))
    if rotating:
        kept = "is still needed" if report.previous_needed else "may be dropped: nothing depends on it any more"
        out.line(f"[secrets] previous {kept}")
    out.line(f"{report.place}, schema {report.schema}: {_verdict(report)}")


def _verdict(report: "Report") -> str:
    """In one line, with what to do where it is not sound."""
    if report.ok:
        return "ok"
    lost = [use.key_id for use in report.keys if use.key_id is not None and use.master == "missing"]
    if lost and not report.faults:
        return f"not at hand: the master with the key id {', '.join(lost)}; put it back, then look again"
    return "not sound; stop the service, keep what is there, and restore a backup"


def _use(use: "KeyUse") -> str:
    number = count(use.contents, "content")
    if use.key_id is None:
        return f"{number} not sealed"
    state = {"current": "the master in force", "previous": "an earlier master", "missing": "NOT AT HAND"}[use.master]
    return f"{number} under key id {use.key_id}: {state}"


def _here() -> tuple["Settings", "Secrets"]:
    """The settings of this machine's spool; raises Stop."""
    from posthouse.settings.loading import load
    from posthouse.settings.problems import SettingsError
    from posthouse.settings.secrets import secrets_of

    if os.environ.get("POSTHOUSE_URL"):
        raise Stop(Code.USAGE, "this is done on the spool's own machine: unset POSTHOUSE_URL")
    try:
        settings = load(None, os.environ, only=("spool", "secrets"))
    except SettingsError as error:
        raise Stop(Code.CONFIGURATION, str(error)) from None
    return settings, secrets_of(settings)


def _opened(work: Callable[["SqliteSpool"], Awaitable[_R]]) -> _R:
    """Do it with the spool to ourselves; raises Stop where a service has it."""
    from posthouse.assembly import owner
    from posthouse.clock import SteadyClock
    from posthouse.spool.sqlite.store import open_spool

    settings, secrets = _here()

    async def whole() -> _R:
        path = settings.spool_path()
        spool = await open_spool(
            path, owner=owner(), clock=SteadyClock(), create=False, wait=0.0, secrets=secrets, moved=True
        )
        try:
            return await work(spool)
        finally:
            await spool.close()

    return _told(lambda: asyncio.run(whole()))


def _told(work: Callable[[], _R]) -> _R:
    """What went wrong, in words; raises Stop."""
    from posthouse.ports import SpoolUnavailableError
    from posthouse.spool.refused import SpoolRefusedError

    try:
        return work()
    except SpoolUnavailableError as error:
        raise Stop(Code.FAILED, str(error)) from error
    except SpoolRefusedError as error:
        raise Stop(Code.CONFIGURATION, str(error)) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise Stop(Code.FAILED, f"{place}{error.strerror or error}") from error


def _master(path: Path, secrets: "Secrets") -> str:
    from posthouse.spool.sqlite.unlocking import kept

    master = secrets.master or kept(path)
    if master is None:
        raise Stop(Code.FAILED, "there is no master to write: this spool has never had one")
    return master


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
