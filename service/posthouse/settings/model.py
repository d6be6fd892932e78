"""Every setting of this version with its default (CONTRACT §4); frozen, complete, read by nobody but ``loading``."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from posthouse.doors.options import Tags
from posthouse.message import OnUnconfirmed
from posthouse.settings.values import (
    Address,
    Addresses,
    ClientName,
    Count,
    Date,
    Domains,
    Duration,
    Durations,
    FilePath,
    Flag,
    Hour,
    KeyHash,
    Listen,
    Names,
    Networks,
    OptionalSecret,
    Patterns,
    Port,
    PublicUrl,
    SecretValue,
    SecretValues,
    SpoolPlace,
    TransportName,
    Url,
)
from posthouse.transports.proxies import NO_PROXIES, Proxies

SPOOL_NAME: Final = "spool.sqlite"
"""The spool's file in the state directory."""

SQLITE: Final = "sqlite://"
POSTGRES: Final = ("postgresql://", "postgres://")

ScopeName = Literal["submit", "read", "content", "manage", "admin"]


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HttpSettings(Table):
    """[http]: submission and a client's own messages."""

    listen: Listen = "127.0.0.1:8080"
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    trusted_proxies: Networks = ()
    public_url: PublicUrl = ""


class AdminSettings(Table):
    """[admin]: keys, lanes, transports; this machine only."""

    listen: Listen = "127.0.0.1:8081"


class GraphDoorSettings(Table):
    """[graph_door]: whether keys are exchanged for access tokens where apps would ask Entra (CONTRACT §2.2)."""

    token_endpoint: Flag = False


class SmtpListenerSettings(Table):
    """One of [[smtp_door.listeners]]: where mail programs submit (RFC 6409).

    ``starttls`` asks for TLS before a login, ``implicit`` speaks nothing else; both show the certificate, which is read
    again when it changes. ``optional`` takes a login in clear too, and so is for this machine, or for named ``networks``
    (others are not heard). ``proxy_protocol``: a load balancer of [http] trusted_proxies says who connects.
    """

    listen: Listen = "127.0.0.1:2525"
    tls: Literal["starttls", "implicit", "optional"] = "optional"
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    tls_min: Literal["1.0", "1.1", "1.2", "1.3"] = "1.2"
    networks: Networks = ()
    proxy_protocol: Flag = False


class SmtpDoorSettings(Table):
    """[smtp_door]: its listeners; an empty list closes the door.

    ``dsn_from``: mail of this door that fails is reported from this address to its reverse-path (RFC 3464).
    """

    dsn_from: Address | None = None
    listeners: tuple[SmtpListenerSettings, ...] = (SmtpListenerSettings(),)


class SpoolSettings(Table):
    """[spool]: where messages lie and for how many seconds; contents are sealed at rest.

    Below ``floor_bytes`` of free disk under SQLite nothing is accepted.

    ``url`` is a path of SQLite (none: in the state directory) or ``postgresql://…``. ``pooler``: PgBouncer in
    transaction mode stands before PostgreSQL; ``listen_url`` then is the way past it (without one, workers look
    every second).
    """

    url: SpoolPlace = None
    pooler: bool = False
    listen_url: SpoolPlace = None
    retention: Duration = 2_592_000.0
    content_retention: Duration = 86_400.0
    encrypt_content: bool = True
    floor_bytes: Count = 67_108_864


class SecretsSettings(Table):
    """[secrets]: the master that contents are sealed under, and those before it while rotating.

    Without one a SQLite spool has its own, made together with it (PROMISES §9).
    """

    master: SecretValue | None = None
    previous: SecretValues = ()


class EntraSettings(Table):
    """[entra], and what a transport changes of it: who asks for tokens, with which credential, where.

    ``client_secret_expires_on``: the last day of the secret, which nobody but the portal tells; [alerts] warn before it.
    """

    tenant_id: str = ""
    client_id: str = ""
    client_secret: SecretValue | None = None
    client_secret_expires_on: Date | None = None
    client_certificate: SecretValue | None = None
    credential: Literal["managed_identity", "workload_identity", "default"] | None = None
    cloud: Literal["worldwide", "usgov", "usgovdod", "china"] = "worldwide"
    authority: Url = ""
    ca_file: FilePath | None = None


class LimitSettings(Table):
    """What one mailbox may do; 0 means no limit; the defaults are Exchange's published limits (FACTS B1)."""

    messages_per_minute: Count = 30
    concurrent_requests: Count = 4
    recipients_per_day: Count = 10_000
    upload_bytes_per_5_minutes: Count = 150_000_000


class MessageLimitSettings(LimitSettings):
    """[limits]: the same for every transport without limits of its own, what the tenant may do, what one message may be.

    ``tenant_recipients_per_day``: none by default, because Exchange's limit depends on the licences (FACTS B1, TERRL).
    """

    tenant_recipients_per_day: Count = 0
    recipients_per_message: Count = 500
    max_message_bytes: Count = 36_700_160


class GraphSettings(Table):
    """[transports.NAME] of kind graph; an empty URL comes from the cloud.

    ``drafts`` declares that the app may write drafts (Mail.ReadWrite): then larger messages go by upload sessions.
    ``bounces`` declares that it may read what comes in (Mail.Read): then reports that mail did not arrive are read.
    """

    kind: Literal["graph"]
    base_url: Url = ""
    drafts: Flag = False
    bounces: Flag = False
    extra_header_recipients: Literal["smtp_else_drop", "drop", "hold"] = "smtp_else_drop"
    entra: EntraSettings | None = None
    ca_file: FilePath | None = None
    limits: LimitSettings | None = None


class SmtpSettings(Table):
    """[transports.NAME] of kind smtp; an empty host comes from the cloud."""

    kind: Literal["smtp"]
    host: str = ""
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    auth: Literal["xoauth2", "login", "none"] = "xoauth2"
    username: str = ""
    password: SecretValue | None = None
    entra: EntraSettings | None = None
    ca_file: FilePath | None = None
    limits: LimitSettings | None = None


class DeliverySettings(Table):
    """[delivery]: the default route and the times of PROMISES §3 to §6, in seconds.

    ``circuit_open`` and ``circuit_open_max``: how long an open circuit stays open at first and at most.
    """

    route: Names = ("graph", "smtp")
    retry_first: Duration = 5.0
    retry_max: Duration = 900.0
    expire_after: Duration = 432_000.0
    on_unconfirmed: OnUnconfirmed = OnUnconfirmed.SETTLE
    settle_checks: Durations = (5.0, 30.0, 120.0, 600.0, 1800.0)
    blocked_probe: Duration = 900.0
    attempt_timeout: Duration = 60.0
    drain_timeout: Duration = 20.0
    circuit_open: Duration = 30.0
    circuit_open_max: Duration = 300.0


class RouteSettings(Table):
    """[[routes]]: the first that matches wins; recipients match when all of them do."""

    senders: Patterns = ()
    recipients: Patterns = ()
    transports: Names


class SenderLimitSettings(Table):
    """limits of one of [[senders]]: a pace of its own inside that of the mailbox; 0 means no limit."""

    messages_per_minute: Count = 0


class SenderSettings(Table):
    """[[senders]]: an address with a pace of its own, or that other mailboxes send: without ``mailboxes`` its own does.

    Of several mailboxes each message takes the one that can send it first.
    """

    address: Address
    mailboxes: Addresses = ()
    limits: SenderLimitSettings | None = None


class ClientSettings(Table):
    """[[clients]]: a client that proves itself in one way, and its terms; 0 sets nothing.

    By a key made elsewhere (``key_hash`` is what ``posthouse keys hash`` prints), by its Entra app, or by the ``networks``
    it comes from (``auth = "network"``: SMTP only, one sender, by default to that sender's own domain;
    ``recipient_domains = ["*"]`` means all).
    """

    name: ClientName
    key_hash: KeyHash | None = None
    entra_app_id: str = ""
    auth: Literal["key", "network"] = "key"
    networks: Networks = ()
    senders: Patterns = Field(min_length=1)
    recipient_domains: Domains = ()
    scopes: tuple[ScopeName, ...] = Field(default=("submit",), min_length=1)
    rate_per_minute: Count = 0
    rate_per_day: Count = 0
    over_rate: Literal["refuse", "delay"] | None = None
    max_message_bytes: Count = 0
    rewrite_from: Address | None = None
    priority: Literal["high", "normal", "low"] | None = None
    expire_after: Duration | None = None
    on_unconfirmed: OnUnconfirmed | None = None
    content: Literal["keep", "until_sent"] | None = None
    tags: Tags = {}


class CallersSettings(Table):
    """[callers]: programs that prove themselves with a token of their Entra app; empty: none do.

    ``audience`` is the application id URI or the client id of the app registration that stands for posthouse.
    ``senders`` are those of apps that no client lists and that have the app role ``submit``.
    """

    tenant_id: str = ""
    audience: Names = ()
    senders: Patterns = ()


class AlertSettings(Table):
    """[alerts]: who is told that something is wrong or will be soon; the log always is.

    ``mail_from`` are senders: an alert goes from the first whose mailbox it is not about, by a transport that it is not
    about. ``webhook`` may be a secret, as those of Teams and Slack are; ``webhook_secret`` (``whsec_…``) signs what is
    posted. ``summary_at``: when the daily line goes out, in UTC. ``lane_age``: how long mail may be due.
    """

    mail_to: Addresses = ()
    mail_from: Addresses = ()
    webhook: OptionalSecret = None
    webhook_secret: OptionalSecret = None
    format: Literal["standard", "teams", "slack"] = "standard"
    daily_summary: Flag = True
    summary_at: Hour = "07:00"
    lane_age: Duration = 1800.0


def _default_transports() -> dict[TransportName, GraphSettings | SmtpSettings]:
    return {"graph": GraphSettings(kind="graph"), "smtp": SmtpSettings(kind="smtp")}


class Settings(Table):
    """All settings, complete: each transport's ``entra`` and ``limits`` hold what it inherits."""

    http: HttpSettings = HttpSettings()
    admin: AdminSettings = AdminSettings()
    graph_door: GraphDoorSettings = GraphDoorSettings()
    smtp_door: SmtpDoorSettings = SmtpDoorSettings()
    spool: SpoolSettings = SpoolSettings()
    secrets: SecretsSettings = SecretsSettings()
    entra: EntraSettings = EntraSettings()
    transports: dict[TransportName, Annotated[GraphSettings | SmtpSettings, Field(discriminator="kind")]] = Field(
        default_factory=_default_transports, min_length=1
    )
    delivery: DeliverySettings = DeliverySettings()
    limits: MessageLimitSettings = MessageLimitSettings()
    routes: tuple[RouteSettings, ...] = ()
    senders: tuple[SenderSettings, ...] = ()
    clients: tuple[ClientSettings, ...] = ()
    callers: CallersSettings = CallersSettings()
    alerts: AlertSettings = AlertSettings()

    _state: Path = PrivateAttr(default=Path())
    _proxies: Proxies = PrivateAttr(default=NO_PROXIES)
    _traced: bool = PrivateAttr(default=False)

    def at(self, state: Path, *, proxies: Proxies = NO_PROXIES, traced: bool = False) -> "Settings":
        """The same settings with their state directory and what else the environment says, each transport with what it inherits."""
        whole = self.model_copy(update={"transports": {name: self._inherit(t) for name, t in self.transports.items()}})
        whole._state, whole._proxies, whole._traced = state, proxies, traced  # noqa: SLF001 - our own copy
        return whole

    def state_directory(self) -> Path:
        """Where the socket and, unless ``spool.url`` says otherwise, the spool lie."""
        return self._state

    @property
    def proxies(self) -> Proxies:
        """By which proxies Microsoft is reached over HTTPS."""
        return self._proxies

    @property
    def traced(self) -> bool:
        """Whether OpenTelemetry's variables ask for traces."""
        return self._traced

    @property
    def many_processes(self) -> bool:
        """Whether several processes may share the spool: it lies in PostgreSQL."""
        return self.spool_url().startswith(POSTGRES)

    def spool_url(self) -> str:
        """Where the spool lies, with the secrets that belong to it; empty for SQLite in the state directory.

        Raises SecretError where the place cannot be read now.
        """
        return self.spool.url.read() if self.spool.url is not None else ""

    def spool_path(self) -> Path:
        """The file of a SQLite spool."""
        url = self.spool_url()
        return Path(url.removeprefix(SQLITE)) if url else self._state / SPOOL_NAME

    def _inherit(self, transport: GraphSettings | SmtpSettings) -> GraphSettings | SmtpSettings:
        update: dict[str, object] = {}
        if transport.entra is not None:
            update["entra"] = _over(self.entra, transport.entra)
        if transport.limits is not None:
            update["limits"] = LimitSettings.model_validate(
                self.limits.model_dump(include=set(LimitSettings.model_fields))
                | transport.limits.model_dump(exclude_unset=True)
            )
        return transport.model_copy(update=update)


_CREDENTIALS: Final = ("client_secret", "client_secret_expires_on", "client_certificate", "credential")


def _over(base: EntraSettings, own: EntraSettings) -> EntraSettings:
    """What a transport sets stands above what it inherits; its own credential replaces any other."""
    update: dict[str, object] = {name: getattr(own, name) for name in own.model_fields_set}
    if own.model_fields_set.intersection(_CREDENTIALS):
        update = dict.fromkeys(_CREDENTIALS) | update
    return base.model_copy(update=update)
