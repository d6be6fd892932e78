"""Programs of the registries through the Resend door."""

import sys

from tests.interop import curl
from tests.interop.behaviours import Behaviours
from tests.interop.packages import node
from tests.interop.programs import HERE, POLICY, Program, Replay, script


class TestPrograms(Behaviours):
    programs = (
        Program(
            name="resend of npm",
            send=node("resend.cjs"),
            wrong_key=("invalid_api_key", "unknown key"),
            refused=("validation_error", POLICY),
        ),
        Program(
            name="resend of pypi",
            send=script(sys.executable, HERE / "python" / "by_resend.py"),
            wrong_key=("resend.exceptions.", "unknown key"),
            refused=("resend.exceptions.", POLICY),
        ),
        Program(
            name="anymail",
            send=script(sys.executable, HERE / "python" / "by_anymail.py"),
            wrong_key=("AnymailRequestsAPIError", "403", "unknown key"),
            refused=("AnymailRequestsAPIError", "403", POLICY),
            replay=Replay.UNNAMED,
        ),
        Program(
            name="curl resend",
            apt=True,
            send=curl.json_by_resend,
            wrong_key=("curl: (22) The requested URL returned error: 403", "unknown key"),
            refused=("curl: (22) The requested URL returned error: 403", POLICY),
        ),
    )
