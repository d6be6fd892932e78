"""``posthouse sendmail``, and ``posthouse-sendmail`` for /usr/sbin/sendmail: the caller's mail to the running service.

It never opens the spool, and it submits with a key, never by the administrator's socket (PROMISES §9).
"""

import os
import sys
import uuid
from collections.abc import Sequence
from typing import Final

from posthouse.cli.output import clean
from posthouse.cli.sendmail.options import Options, parse
from posthouse.cli.sendmail.sysexits import Ended, Exit

HELP: Final = """Usage: sendmail [OPTIONS] [RECIPIENT]...

Submits the message on standard input to posthouse, as /usr/sbin/sendmail would.

  -t           recipients from To, Cc and Bcc too
  -i, -oi      a line with a lone dot does not end the message
  -f, -r ADDR  the sender of a message without From
  -F NAME      its name
  -v           say the message's id
  -bm          submit a message (as without it); -bi, -q: nothing to do
  -N -R -V -B -O -o -e -h -L -X and others are taken and change nothing

Settings: /etc/posthouse/sendmail.toml (url, key, domain, rewrite_from, [aliases]), or POSTHOUSE_URL and POSTHOUSE_KEY.
Exit codes are those of sysexits.h: 75 asks to try again; where an answer was lost the text says that it may have been kept.
"""

_MODES: Final = {
    "s": "SMTP on standard input is not spoken here; programs that speak SMTP use the SMTP door of posthouse",
    "p": "posthouse queue shows what waits",
    "d": "posthouse serve is the daemon",
    "D": "posthouse serve is the daemon",
    "v": "addresses are not verified here",
    "t": "there is no test mode",
}


def run() -> None:
    """The entry of ``posthouse-sendmail``."""
    sys.exit(sendmail(sys.argv[1:]))


def sendmail(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code (sysexits.h)."""
    if list(arguments) == ["--help"]:
        sys.stdout.write(HELP)
        return Exit.OK
    try:
        _do(parse(arguments))
    except Ended as ended:
        sys.stderr.write(f"sendmail: {clean(str(ended))}\n")
        return ended.code
    except Exception as fault:  # noqa: BLE001 - the caller's program waits for a code, not for our traceback
        sys.stderr.write(f"sendmail: a fault of posthouse: {type(fault).__name__}\n")
        return Exit.SOFTWARE
    return Exit.OK


def _do(options: Options) -> None:
    if options.mode == "i" or (options.flush and not options.recipients and not options.from_header):
        return  # newaliases, and runs of a queue that is posthouse's
    if options.mode != "m":
        raise Ended(Exit.USAGE, f"-b{options.mode}: {_MODES.get(options.mode[:1], 'there is no such mode')}")
    from posthouse.cli.sendmail.message import read, whole
    from posthouse.cli.sendmail.settings import load, user_name
    from posthouse.cli.sendmail.submitting import Submission, submit

    settings = load(os.environ)
    try:
        message = read(sys.stdin.buffer, dots=options.dots)
    except OSError as error:
        raise Ended(Exit.IOERR, f"the message cannot be read: {error.strerror}") from error
    with message.body:
        ready = whole(message.header, options, settings, user=user_name)
        accepted = submit(
            Submission(
                url=settings.url,
                key=settings.key,
                recipients=ready.recipients,
                idempotency_key=str(uuid.uuid4()),
                size=len(ready.header) + 2 + message.size,
                blocks=lambda: message.blocks(ready.header),
            )
        )
    if options.verbose:
        sys.stdout.write(f"{accepted}\n")
