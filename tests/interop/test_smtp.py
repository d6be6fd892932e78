"""Programs of the registries through the SMTP door."""

import sys

from tests.interop.behaviours import Behaviours
from tests.interop.curl import by_smtp
from tests.interop.packages import node
from tests.interop.programs import HERE, POLICY, Program, Replay, script

WRONG = "The password is not a valid key of this service"


class TestPrograms(Behaviours):
    programs = (
        Program(
            name="nodemailer",
            send=node("nodemailer.cjs"),
            wrong_key=("EAUTH 535", WRONG),
            refused=("EENVELOPE 550", POLICY),
            replay=Replay.ANEW,
        ),
        Program(
            name="smtplib",
            send=script(sys.executable, HERE / "python" / "by_smtplib.py"),
            wrong_key=("SMTPAuthenticationError: (535", WRONG),
            refused=("SMTPSenderRefused: (550", POLICY),
        ),
        Program(
            name="django smtp backend",
            send=script(sys.executable, HERE / "python" / "by_django.py"),
            wrong_key=("SMTPAuthenticationError: (535", WRONG),
            refused=("SMTPSenderRefused: (550", POLICY),
            replay=Replay.ANEW,
        ),
        Program(
            name="curl smtp",
            apt=True,
            send=by_smtp,
            wrong_key=("curl: (67)", "535 5.7.8", WRONG),
            refused=("curl: (55) MAIL failed: 550", POLICY),
        ),
    )
