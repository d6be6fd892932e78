"""The Graph transport against the emulator: the real SDK and azure-identity, one POST a send, only 202 is sent."""

import asyncio
import contextlib
import dataclasses
import email
import email.policy
import json
from base64 import urlsafe_b64encode

import pytest
import trustme

from posthouse.message import Bytes
from posthouse.outcome import Blocked, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed, name_of, scope_of
from posthouse.records import NoSight, Sightings
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.options import Options
from posthouse.transports.graph.transport import MIME_LIMIT
from posthouse.transports.tokens import Certificate, DefaultChain, ManagedIdentity, WorkloadIdentity
from tests.contract.transport_kit import ALERTS, GRAPH_SCOPE, dispatch, graph_to, message, tokens_of


@pytest.fixture
async def microsoft365(tmp_path):
    async with Emulator(Options(directory=tmp_path / "microsoft365")) as emulator:
        yield emulator


@pytest.fixture
async def graph(microsoft365):
    async with (
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file) as transport,
    ):
        yield transport


def setting(emulator: Emulator, **changes: object) -> None:
    emulator.world.settings = dataclasses.replace(emulator.world.settings, **changes)


async def test_a_message_arrives_once_with_exactly_its_bytes(microsoft365, graph):
    body = "Grüße\r\n".encode() + bytes(range(32, 127)) * 2000 + b"\r\n"
    one = dispatch(body=Bytes(body))
    outcome = await graph.send(one)
    assert isinstance(outcome, Sent)
    (received,) = microsoft365.world.received
    assert received.mime == one.content.header + b"\r\n" + body
    assert received.mailbox == ALERTS
    assert microsoft365.world.counters.posts == 1
    (post,) = microsoft365.world.posts
    assert post.client_request_id == one.attempt_id


@pytest.mark.parametrize("extra", range(3))
@pytest.mark.parametrize("size", [0, 196_608 - 150, 196_608, 600_000])
async def test_content_of_any_length_in_any_blocks_arrives_whole(microsoft365, graph, size, extra):
    class Pieces(Bytes):
        async def blocks(self):
            for start in range(0, len(self.data), 70_001):
                yield self.data[start : start + 70_001]

    body = b"0123456789abcdef\r\n" * (size // 18) + b"." * extra + b"\r\n"
    one = dispatch(body=Pieces(body))
    assert isinstance(await graph.send(one), Sent)
    assert microsoft365.world.received[0].mime == one.content.header + b"\r\n" + body


async def test_the_envelope_decides_who_gets_a_copy(microsoft365, graph):
    one = message(to=("bob@example.org", "hidden@example.org"))
    outcome = await graph.send(dispatch(one, to=b"Bob <BOB@example.org>, stranger@example.net"))
    assert isinstance(outcome, Sent)
    (received,) = microsoft365.world.received
    assert sorted(received.recipients, key=str.lower) == ["BOB@example.org", "hidden@example.org"]
    visible = email.message_from_bytes(received.mime, policy=email.policy.default)
    assert "hidden" not in str(visible)
    assert "stranger" not in str(visible)


@pytest.mark.parametrize(
    ("rule", "kind", "scope"),
    [
        ({"fault": "200"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "204"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "302"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "307"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "400", "code": "ErrorInvalidRecipients"}, "permanent_failure", Scope.MESSAGE),
        ({"fault": "403", "code": "ErrorAccessDenied"}, "blocked", Scope.MAILBOX),
        ({"fault": "403", "body": "html"}, "blocked", Scope.TRANSPORT),
        ({"fault": "404", "code": "ErrorInvalidUser"}, "blocked", Scope.MAILBOX),
        ({"fault": "408"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "413"}, "permanent_failure", Scope.MESSAGE),
        ({"fault": "429", "retry_after": 9}, "transient_failure", Scope.MAILBOX),
        ({"fault": "500", "code": "ErrorInternalServerError"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "502", "body": "html"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "503"}, "transient_failure", Scope.TRANSPORT),
        ({"fault": "503", "body": "html"}, "transient_failure", Scope.TRANSPORT),
        ({"fault": "504"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "504-after-send"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "200-after-send"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "drop"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "reset"}, "unconfirmed", Scope.TRANSPORT),
        ({"fault": "drop-after-send"}, "unconfirmed", Scope.TRANSPORT),
    ],
    ids=str,
)
async def test_every_answer_has_its_outcome_and_costs_one_post(microsoft365, graph, rule, kind, scope):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, **rule)]
    outcome = await graph.send(dispatch())
    assert (name_of(outcome), scope_of(outcome)) == (kind, scope)
    assert microsoft365.world.counters.posts == 1
    if "retry_after" in rule:
        assert outcome.answer.retry_after == rule["retry_after"]


async def test_send_as_denied_blocks_the_sender_only(microsoft365, graph):
    outcome = await graph.send(dispatch(message(sender="boss@contoso.com")))
    assert isinstance(outcome, Blocked)
    assert outcome.scope is Scope.SENDER
    assert microsoft365.world.counters.accepted == 0


async def test_a_401_is_tried_again_with_a_new_token_and_then_sent(microsoft365, graph):
    assert isinstance(await graph.send(dispatch()), Sent)
    microsoft365.world.tokens.clear()
    again = await graph.send(dispatch())
    assert isinstance(again, TransientFailure)
    assert (again.scope, again.at_once) == (Scope.MESSAGE, True)
    assert isinstance(await graph.send(dispatch()), Sent)
    assert microsoft365.world.counters.tokens_issued == 2


async def test_a_401_to_the_new_token_too_blocks_the_transport_where_nobody_else_sends(microsoft365, graph):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="401")]
    assert isinstance(await graph.send(dispatch()), TransientFailure)
    outcome = await graph.send(dispatch())
    assert isinstance(outcome, Blocked)
    assert outcome.scope is Scope.TRANSPORT
    assert microsoft365.world.counters.tokens_issued == 2
    microsoft365.world.faults = []
    assert isinstance(await graph.send(dispatch()), Sent)


async def test_a_401_of_one_mailbox_blocks_that_mailbox_while_the_others_go_on(microsoft365, graph):
    bad, good = message(account="bad@contoso.com", sender="bad@contoso.com"), message()
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="401", mailbox="bad@contoso.com")]
    assert isinstance(await graph.send(dispatch(good)), Sent)
    assert isinstance(await graph.send(dispatch(bad)), TransientFailure)
    assert isinstance(await graph.send(dispatch(good)), Sent)
    outcome = await graph.send(dispatch(bad))
    assert isinstance(outcome, Blocked)
    assert outcome.scope is Scope.MAILBOX
    assert isinstance(await graph.send(dispatch(good)), Sent)
    assert microsoft365.world.counters.tokens_issued == 2


async def test_a_burst_from_cold_costs_one_token(microsoft365, graph):
    outcomes = await asyncio.gather(*(graph.send(dispatch()) for _ in range(40)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert microsoft365.world.counters.tokens_asked == 1
    assert microsoft365.world.counters.posts == 40


async def test_a_wrong_secret_blocks_the_transport_without_a_post_and_a_new_one_is_read_again(microsoft365):
    secrets = iter(["wrong", microsoft365.options.client_secret])
    async with (
        tokens_of(microsoft365, secret=lambda: next(secrets)) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file) as graph,
    ):
        for _ in range(5):
            outcome = await graph.send(dispatch())
            assert isinstance(outcome, Blocked)
            assert (outcome.scope, outcome.answer.code) == (Scope.TRANSPORT, "AADSTS7000215")
            assert outcome.answer.fix == "entra.secret_wrong"
            assert outcome.answer.request_id
        assert microsoft365.world.counters.tokens_asked == 1
        tokens._failures.clear()  # the pause of 5 s is over
        assert isinstance(await graph.send(dispatch()), Sent)


@pytest.mark.parametrize(
    ("rule", "kind", "code"),
    [
        ({"fault": "503"}, TransientFailure, None),
        ({"fault": "429"}, TransientFailure, None),
        ({"fault": "503", "code": "90033"}, TransientFailure, "AADSTS90033"),
        ({"fault": "401", "code": "7000222"}, Blocked, "AADSTS7000222"),
        ({"fault": "400", "code": "700016"}, Blocked, "AADSTS700016"),
        ({"fault": "400", "code": "90002"}, Blocked, "AADSTS90002"),
        ({"fault": "401", "code": "700027"}, Blocked, "AADSTS700027"),
        ({"fault": "400", "code": "53003"}, Blocked, "AADSTS53003"),
        ({"fault": "200", "body": "html"}, TransientFailure, None),
        ({"fault": "drop"}, TransientFailure, None),
    ],
    ids=str,
)
async def test_an_entra_that_refuses_or_fails_never_makes_doubt(microsoft365, graph, rule, kind, code):
    microsoft365.world.faults = [Rule(target=Target.ENTRA, **rule)]
    outcome = await graph.send(dispatch())
    assert isinstance(outcome, kind)
    assert outcome.scope is Scope.TRANSPORT
    assert code is None or outcome.answer.code == code
    assert microsoft365.world.counters.posts == 0
    assert microsoft365.options.client_secret not in str(outcome)


async def test_an_entra_outage_is_told_apart_from_a_graph_outage(microsoft365, graph):
    await microsoft365.stop_entra()
    outcome = await graph.send(dispatch())
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.text.endswith("(asking Entra ID for a token)")
    await microsoft365.start_entra()
    graph._calls._tokens._failures.clear()
    assert isinstance(await graph.send(dispatch()), Sent)


async def test_graph_down_is_certain_and_probed_and_mail_flows_again(microsoft365, graph):
    assert await graph.probe() is True
    await graph._calls._tokens.warm()
    await microsoft365.stop_graph()
    # the kept connection may still look alive in this very moment
    with contextlib.suppress(AssertionError):
        assert isinstance(await graph.send(dispatch()), TransientFailure)
    outcome = await graph.send(dispatch())
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.answer.fix) == (Scope.TRANSPORT, "network.refused")
    assert await graph.probe() is False
    await microsoft365.start_graph()
    assert await graph.probe() is True
    assert isinstance(await graph.send(dispatch()), Sent)


async def test_a_probe_never_sends_and_counts_refusals_as_life(microsoft365, graph):
    setting(microsoft365, grants=frozenset())
    assert await graph.probe() is True
    microsoft365.world.faults = [Rule(target=Target.LOOKUP, fault="503")]
    assert await graph.probe() is False
    assert microsoft365.world.counters.posts == 0


async def test_a_message_over_the_request_limit_is_not_even_tried(microsoft365, graph):
    one = dispatch()
    room = MIME_LIMIT - one.content.size + one.content.body.size
    assert isinstance(await graph.send(dispatch(body=Bytes(b"x" * room))), Sent)
    outcome = await graph.send(dispatch(body=Bytes(b"x" * (room + 1))))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.answer.fix == "graph.too_large"
    assert microsoft365.world.counters.posts == 1


async def test_the_bcc_that_is_added_at_the_wire_counts_towards_the_limit(graph, microsoft365):
    one, before = dispatch(), microsoft365.world.counters.posts
    room = MIME_LIMIT - one.content.size + one.content.body.size
    outcome = await graph.send(dispatch(message(to=("bob@example.org", "b@x.org")), body=Bytes(b"x" * room)))
    assert isinstance(outcome, PermanentFailure)
    assert microsoft365.world.counters.posts == before


async def test_an_unproven_mailbox_fails_the_message_instead_of_blocking_a_lane_for_ever(microsoft365):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="404", code="ErrorInvalidUser")]
    async with (
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file, unproven=True) as graph,
    ):
        outcome = await graph.send(dispatch())
    assert isinstance(outcome, PermanentFailure)
    assert outcome.scope is Scope.MESSAGE


# --- look-ups --------------------------------------------------------------------------------------------------------


def drafts(sight: Sightings) -> dict[str, tuple[bool, ...]]:
    return {message_id: tuple(copy.draft for copy in copies) for message_id, copies in sight.found.items()}


async def test_copies_are_found_by_message_id_several_at_a_time(microsoft365, graph):
    odd = ["<o'brien+tag&x=1@posthouse.test>", "<a/b?c#d%41@posthouse.test>", '<"quoted part"@posthouse.test>']
    for index, message_id in enumerate(odd):
        one = dataclasses.replace(message(number=index), message_id=message_id)
        assert isinstance(await graph.send(dispatch(one)), Sent)
    assert isinstance(await graph.send(dispatch(dataclasses.replace(message(), message_id=odd[0]))), Sent)
    sight = await graph.look_up(account=ALERTS, message_ids=[*odd, "<never@posthouse.test>"])
    assert isinstance(sight, Sightings)
    assert drafts(sight) == {
        odd[0]: (False, False),
        odd[1]: (False,),
        odd[2]: (False,),
        "<never@posthouse.test>": (),
    }
    assert microsoft365.world.counters.lookups == 1


async def test_a_draft_is_seen_as_a_draft(microsoft365, graph):
    setting(microsoft365, draft_for=3600.0)
    await graph.send(dispatch())
    sight = await graph.look_up(account=ALERTS, message_ids=["<1@posthouse.test>"])
    assert isinstance(sight, Sightings)
    assert drafts(sight) == {"<1@posthouse.test>": (True,)}


async def test_without_the_right_to_read_there_is_no_sight_and_the_fix_is_named(microsoft365, graph):
    setting(microsoft365, grants=frozenset({"Mail.Send"}))
    sight = await graph.look_up(account=ALERTS, message_ids=["<1@posthouse.test>"])
    assert isinstance(sight, NoSight)
    assert sight.answer.fix == "graph.read_permission"


@pytest.mark.parametrize("fault", ["404", "429", "500", "503", "302", "204", "drop"])
async def test_no_other_answer_counts_as_absence(microsoft365, graph, fault):
    microsoft365.world.faults = [Rule(target=Target.LOOKUP, fault=fault)]
    assert isinstance(await graph.look_up(account=ALERTS, message_ids=["<1@x>"]), NoSight)


async def test_a_look_up_with_a_refused_token_gets_a_new_one_for_the_next(microsoft365, graph):
    await graph.send(dispatch())
    microsoft365.world.tokens.clear()
    assert isinstance(await graph.look_up(account=ALERTS, message_ids=["<1@x>"]), NoSight)
    assert isinstance(await graph.look_up(account=ALERTS, message_ids=["<1@x>"]), Sightings)


# --- credentials -----------------------------------------------------------------------------------------------------


async def sent_with(
    emulator: Emulator, credential: Certificate | ManagedIdentity | WorkloadIdentity | DefaultChain
) -> None:
    async with (
        tokens_of(emulator, credential=credential) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file) as graph,
    ):
        outcome = await graph.send(dispatch())
        assert isinstance(outcome, Sent), outcome


async def test_a_certificate_serves_as_credential(microsoft365):
    leaf = trustme.CA().issue_cert("posthouse.test", key_type=trustme.KeyType.RSA)
    pem = leaf.private_key_and_cert_chain_pem.bytes()
    await sent_with(microsoft365, Certificate(lambda: pem))


async def test_a_federated_token_in_a_file_serves_as_credential(microsoft365, tmp_path):
    file = tmp_path / "token"
    parts = ({"alg": "RS256"}, {"aud": "api://AzureADTokenExchange", "sub": "pod", "exp": 4_000_000_000})
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    file.write_text(".".join([*encoded, "c2ln"]))
    await sent_with(microsoft365, WorkloadIdentity(str(file)))


async def test_a_managed_identity_serves_as_credential(microsoft365, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", microsoft365.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", microsoft365.options.identity_header)
    await sent_with(microsoft365, ManagedIdentity())


async def test_the_default_chain_serves_as_credential(microsoft365, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", microsoft365.options.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", microsoft365.options.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", microsoft365.options.client_secret)
    await sent_with(microsoft365, DefaultChain())


async def test_a_missing_token_file_is_the_administrators(microsoft365, tmp_path):
    async with (
        tokens_of(microsoft365, credential=WorkloadIdentity(str(tmp_path / "none"))) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file) as graph,
    ):
        outcome = await graph.send(dispatch())
    assert isinstance(outcome, Blocked)
    assert outcome.answer.fix == "entra.secret_unreadable"


async def test_the_token_source_gives_the_scope_that_was_asked(microsoft365):
    async with tokens_of(microsoft365) as tokens:
        await tokens.warm()
        assert {token.resource for token in microsoft365.world.tokens.values()} == {
            "https://graph.microsoft.com",
            "https://outlook.office365.com",
        }
        assert tokens.expires_on(GRAPH_SCOPE)


async def test_a_send_that_is_cancelled_is_cancelled(microsoft365, graph):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="hang")]
    sending = asyncio.create_task(graph.send(dispatch()))
    while not microsoft365.world.counters.posts:
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    microsoft365.world.faults = []
    assert isinstance(await graph.send(dispatch()), Sent)


async def test_doubt_after_acceptance_is_found_by_the_look_up(microsoft365, graph):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="drop-after-send", times=1)]
    assert isinstance(await graph.send(dispatch()), Unconfirmed)
    sight = await graph.look_up(account=ALERTS, message_ids=["<1@posthouse.test>"])
    assert isinstance(sight, Sightings)
    assert drafts(sight) == {"<1@posthouse.test>": (False,)}


@pytest.mark.parametrize("account", ["o'brien+tag@contoso.com", "a/b?c#d%41@contoso.com", "jürgen@contoso.com"])
async def test_an_account_with_odd_letters_is_named_exactly(microsoft365, graph, account):
    outcome = await graph.send(dispatch(message(account=account, sender=account)))
    (post,) = microsoft365.world.posts
    assert post.mailbox == account
    assert isinstance(outcome, Sent)


async def test_a_recipient_that_is_no_address_fails_the_message_without_a_post(microsoft365, graph):
    outcome = await graph.send(dispatch(message(to=("not an address",))))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.answer.status == "5.1.3"
    assert microsoft365.world.counters.posts == 0
