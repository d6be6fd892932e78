"""Programs that speak Microsoft Graph through the Graph door: host, client id and secret are all that is changed."""

import sys

from tests.interop import curl
from tests.interop.behaviours import Behaviours
from tests.interop.packages import node
from tests.interop.programs import HERE, POLICY, Program, script

WRONG = "AADSTS7000215: Invalid client secret provided"


class TestPrograms(Behaviours):
    programs = (
        Program(
            name="graph client of npm",
            send=node("graph.cjs"),
            wrong_key=("AuthenticationRequiredError", WRONG),
            refused=("403 ErrorSendAsDenied", POLICY),
            both=False,
        ),
        Program(
            name="msgraph-sdk",
            send=script(sys.executable, HERE / "python" / "by_msgraph.py"),
            wrong_key=("azure.core.exceptions.ClientAuthenticationError", WRONG),
            refused=("ODataError", POLICY, "(status 403)"),
            both=False,
        ),
        Program(
            name="curl graph json",
            apt=True,
            send=curl.json_by_graph,
            wrong_key=("curl: (22) The requested URL returned error: 401", "InvalidAuthenticationToken"),
            refused=("curl: (22) The requested URL returned error: 403", "ErrorSendAsDenied", POLICY),
            both=False,
        ),
        Program(
            name="curl graph mime",
            apt=True,
            send=curl.mime_by_graph,
            wrong_key=("curl: (22) The requested URL returned error: 401", "InvalidAuthenticationToken"),
            refused=("curl: (22) The requested URL returned error: 403", "ErrorSendAsDenied", POLICY),
        ),
    )
