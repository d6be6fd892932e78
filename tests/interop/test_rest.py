"""curl through the REST door, in each of its three forms."""

from tests.interop import curl
from tests.interop.behaviours import Behaviours
from tests.interop.programs import POLICY, Program

WRONG = ("curl: (22) The requested URL returned error: 401", '"code":"invalid_key"', "unknown key")
REFUSED = (
    "curl: (22) The requested URL returned error: 403",
    '"code":"sender_not_allowed"',
    POLICY,
)


class TestPrograms(Behaviours):
    programs = (
        Program(name="curl json", apt=True, send=curl.json_by_rest, wrong_key=WRONG, refused=REFUSED),
        Program(name="curl form", apt=True, send=curl.form_by_rest, wrong_key=WRONG, refused=REFUSED),
        Program(name="curl raw", apt=True, send=curl.raw_by_rest, wrong_key=WRONG, refused=REFUSED),
    )
