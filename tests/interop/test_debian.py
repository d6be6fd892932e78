"""Programs of Debian's packages through the SMTP door."""

import secrets

import pytest

from tests.interop import debian
from tests.interop.behaviours import Behaviours
from tests.interop.exim import exim
from tests.interop.house import House
from tests.interop.mail import Mail
from tests.interop.postfix import postfix
from tests.interop.programs import POLICY, Program, Replay
from tests.interop.test_smtp import WRONG
from tests.likeness import likeness


@pytest.mark.apt
class TestPrograms(Behaviours):
    programs = (
        Program(
            name="swaks",
            send=debian.swaks,
            wrong_key=("*** No authentication type succeeded", f"<~* 535 5.7.8 {WRONG}"),
            refused=(f"<~* 550 5.7.1 {POLICY}",),
        ),
        Program(
            name="msmtp",
            send=debian.msmtp,
            wrong_key=("msmtp: authentication failed", f"535 5.7.8 {WRONG}"),
            refused=("msmtp: envelope from address ceo@fabrikam.example not accepted", f"550 5.7.1 {POLICY}"),
        ),
        Program(
            name="phpmailer",
            send=debian.phpmailer,
            wrong_key=("Exception: SMTP Error: Could not authenticate.", WRONG),
            refused=("Exception: The following From address failed: ceo@fabrikam.example", POLICY),
            replay=Replay.ANEW,
        ),
        Program(
            name="exim as smart host",
            send=exim,
            wrong_key=("plain authenticator failed H=localhost", f"535 5.7.8 {WRONG}", " == jurgen@example.net "),
            refused=(" ** jurgen@example.net ", "MAIL FROM:<ceo@fabrikam.example>", f"550 5.7.1 {POLICY}"),
        ),
        Program(
            name="postfix as smart host",
            send=postfix,
            wrong_key=("SASL authentication failed; server localhost", f"535 5.7.8 {WRONG}", "status=deferred"),
            refused=("status=bounced", f"said: 550 5.7.1 {POLICY} (in reply to MAIL FROM command)"),
        ),
    )


@pytest.mark.apt
@pytest.mark.asyncio(loop_scope="session")
async def test_a_mail_that_a_smart_host_splits_reaches_each_recipient_once(house: House) -> None:
    tag = secrets.token_hex(4)
    mail = Mail(tag=tag, key=tag)
    for _ in range(2):
        said = await postfix(house, mail, house.key, more="smtp_destination_recipient_limit = 1\n")
        assert said.sent, said.words
    arrived = await house.arrived(mail)
    assert sorted(one.recipients for one in arrived) == sorted([address] for address in mail.recipients)
    assert all(likeness(one.raw).leaves == likeness(mail.complete()).leaves for one in arrived)
