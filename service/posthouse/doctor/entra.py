"""Entra ID: is the tenant there, in which cloud, is the clock right, does it give a token, and what does the token say."""

import base64
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from cryptography import x509

from posthouse.doctor.network import Http, Unanswered
from posthouse.doctor.plan import EntraPlan
from posthouse.doctor.steps import Seen
from posthouse.findings import Result, trouble
from posthouse.fixes import entra_fix
from posthouse.outcome import Answer
from posthouse.transports.faults import public
from posthouse.transports.tokens import Certificate, ClientSecret, NoToken, TokenSource

SKEW: Final = 300.0
"""Seconds between the clocks from which assertions are refused (AADSTS700024; Entra allows five minutes)."""
SOON: Final = 30
"""Days before the end of a certificate from which it is worth a word."""
UNSCOPED: Final = frozenset({"Mail.Send", "Mail.ReadBasic", "Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"})
"""Permissions that count for every mailbox where a token carries them (FACTS C4)."""

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DAY: Final = 86_400


class EntraExam:
    """What one app of one tenant is told; its tokens are fetched once, for all steps."""

    def __init__(self, plan: EntraPlan, http: Http, *, wall: Callable[[], float] = time.time) -> None:
        self.plan = plan
        self._http = http
        self._wall = wall
        self._source: TokenSource | None = None
        self._held: dict[str, str] = {}
        options = plan.options
        self.names = {"client id": options.client_id, "tenant id": options.tenant_id}

    async def close(self) -> None:
        """Close all connections."""
        if self._source is not None:
            await self._source.close()
        await self._http.close()

    @property
    def tokens(self) -> TokenSource:
        """The tokens; no credential is read before the first is fetched."""
        if self._source is None:
            self._source = self.plan.tokens()
        return self._source

    def held(self, scope: str) -> str | None:
        """The token that the step got; None where it got none."""
        return self._held.get(scope)

    async def tenant(self) -> Seen:
        """The tenant's sign-in document, which needs no credential: it names the cloud, and its date our clock."""
        options = self.plan.options
        url = f"{options.authority.rstrip('/')}/{options.tenant_id}/v2.0/.well-known/openid-configuration"
        try:
            answer = await self._http.ask("GET", url)
        except Unanswered as error:
            return Seen(result=Result.FAILED, words="no answer", trouble=error.trouble)
        body = _object(answer.content)
        if not answer.is_success:
            return self._refused(answer, body)
        host = body.get("msgraph_host")
        if isinstance(host, str) and host and host != self.plan.graph_host:
            words = f"the tenant is one of the cloud of {host}; the settings say cloud = {self.plan.cloud!r}"
            return Seen(result=Result.FAILED, words=words, trouble=trouble("entra.cross_cloud", names=self.names))
        return self._clock(answer)

    async def token(self, scope: str) -> Seen:
        """A token for this scope, and what it carries; nothing is demanded of it (rights in Exchange show nowhere)."""
        try:
            token = (await self.tokens.get_token(scope)).token
        except NoToken as error:
            return self._no_token(error.outcome.answer)
        self._held[scope] = token
        return Seen(
            words="; ".join([f"a token for {scope.removesuffix('/.default')}", *self._claims(token), *self._end()])
        )

    def _refused(self, answer: httpx.Response, body: Mapping[str, object]) -> Seen:
        codes = body.get("error_codes")
        numbers = [code for code in codes if isinstance(code, int)] if isinstance(codes, list) else []
        otherwise = "entra.busy" if answer.is_server_error else "graph.proxy"
        code = f"AADSTS{numbers[0]}" if numbers else f"entra_{answer.status_code}"
        trace = body.get("trace_id")
        what = trouble(
            entra_fix(numbers) or otherwise,
            names=self.names,
            said=f"HTTP {answer.status_code}",
            code=code,
            request_id=trace if isinstance(trace, str) else None,
        )
        return Seen(result=Result.FAILED, words=f"HTTP {answer.status_code} {code}", trouble=what)

    def _clock(self, answer: httpx.Response) -> Seen:
        try:
            there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            return Seen(words="the tenant is there")
        skew = self._wall() - there
        if abs(skew) <= SKEW:
            return Seen(words=f"the tenant is there; this machine's clock agrees to {abs(skew) + 1:.0f} s")
        way = "ahead" if skew > 0 else "behind"
        words = f"this machine's clock is {abs(skew):.0f} s {way}"
        return Seen(result=Result.FAILED, words=words, trouble=trouble("entra.clock", names=self.names))

    def _no_token(self, answer: Answer) -> Seen:
        fix = self._told_apart(answer.fix or "entra.refused")
        what = trouble(fix, names=self.names, said=answer.text, code=answer.code, request_id=answer.request_id)
        return Seen(result=Result.FAILED, words="; ".join([answer.text, *self._end()]), trouble=what)

    def _told_apart(self, fix: str) -> str:
        """Where one code has several causes, what the credential itself shows."""
        match self.plan.options.credential:
            case ClientSecret(read) if fix == "entra.secret_wrong" and _GUID.fullmatch(_read(read).strip()):
                return "entra.secret_id"
            case Certificate(read) if fix.startswith("entra."):
                ends = [one.not_valid_after_utc for one in certificates(_read(read))]
                return "entra.certificate_expired" if ends and min(ends) <= self._now() else fix
        return fix

    def _end(self) -> Sequence[str]:
        """When the certificate ends, where there is one; of a secret only Entra knows that."""
        credential = self.plan.options.credential
        if not isinstance(credential, Certificate):
            return ()
        ends = [one.not_valid_after_utc for one in certificates(_read(credential.read))]
        if not ends:
            return ("the file holds no certificate in PEM form",)
        left = (min(ends) - self._now()).total_seconds() / _DAY
        soon = f", in {left:.0f} days: renew it" if 0 < left < SOON else ""
        return (f"the certificate {'ended' if left <= 0 else 'ends'} on {min(ends):%Y-%m-%d}{soon}",)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    def _claims(self, token: str) -> Sequence[str]:
        claims = claims_of(token)
        listed = claims.get("roles")
        roles = sorted(str(role) for role in listed) if isinstance(listed, list) else []
        if not roles:
            return (
                "it carries no roles: its rights, if any, are Exchange's (RBAC for Applications), for the mailboxes of a scope",
            )
        wide = [role for role in roles if role in UNSCOPED]
        words = [f"it carries the roles {', '.join(map(public, roles))}"]
        if wide:
            words.append(
                f"{', '.join(wide)} in Entra counts for every mailbox of the tenant; a scope in Exchange does not narrow it"
            )
        return words


def claims_of(token: str) -> Mapping[str, object]:
    """What an access token says; empty where it cannot be read, which is nobody's fault: it is for the resource."""
    try:
        payload = token.split(".")[1]
        return _object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}


def certificates(pem: bytes | str) -> Sequence[x509.Certificate]:
    """The certificates of a PEM file."""
    try:
        return x509.load_pem_x509_certificates(pem if isinstance(pem, bytes) else pem.encode())
    except ValueError:
        return ()


def _read(read: Callable[[], str] | Callable[[], bytes]) -> str:
    """The credential as it is now; empty where it cannot be read, which the step has said already."""
    try:
        value = read()
    except Exception:  # noqa: BLE001 - whatever it is, there is nothing to look at
        return ""
    return value if isinstance(value, str) else value.decode("latin-1")


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
