"""What every program's user sees, whichever door it sends through."""

import secrets
from dataclasses import replace
from typing import ClassVar

import pytest

from tests.interop.house import House
from tests.interop.mail import FOREIGN, Mail
from tests.interop.programs import Program, Replay
from tests.likeness import likeness


@pytest.mark.asyncio(loop_scope="session")
class Behaviours:
    """A test file names its ``programs``; each passes all of these."""

    programs: ClassVar[tuple[Program, ...]]

    async def test_a_mail_arrives_as_it_was_written(self, program: Program, house: House) -> None:
        mail = _mail(program)
        said = await program.send(house, mail, house.key)
        assert said.sent, said.words
        (one,) = await house.arrived(mail)
        assert sorted(one.recipients) == sorted(mail.recipients)
        assert likeness(one.raw) == likeness(mail.complete())

    async def test_a_mail_sent_again_with_its_key_arrives_once(self, program: Program, house: House) -> None:
        mail = replace(_mail(program), key=secrets.token_hex(8))
        first, again = [await program.send(house, mail, house.key) for _ in range(2)]
        assert first.sent, first.words
        assert again.sent == (program.replay is not Replay.ANEW), again.words
        assert ("Idempotency-Key came before" in again.words) == (program.replay is Replay.ANEW), again.words
        arrived = await house.arrived(mail)
        assert len(arrived) == (2 if program.replay is Replay.UNNAMED else 1)
        assert not any(b"idempotency-key" in one.raw.lower() for one in arrived)

    async def test_a_wrong_key_is_the_programs_own_error(self, program: Program, house: House) -> None:
        mail = _mail(program)
        said = await program.send(house, mail, house.wrong_key)
        assert not said.sent, said.words
        assert [words for words in program.wrong_key if words not in said.words] == [], said.words
        assert await house.arrived(mail) == []

    async def test_a_sender_that_policy_refuses_is_told_with_our_reason(self, program: Program, house: House) -> None:
        mail = replace(_mail(program), sender=("The Boss", FOREIGN))
        said = await program.send(house, mail, house.key)
        assert not said.sent, said.words
        assert [words for words in program.refused if words not in said.words] == [], said.words
        assert await house.arrived(mail) == []


def _mail(program: Program) -> Mail:
    mail = Mail(tag=f"{program.name.replace(' ', '-')}-{secrets.token_hex(4)}")
    return mail if program.both else replace(mail, text=None)
