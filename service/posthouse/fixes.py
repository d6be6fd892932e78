"""Every known code of Graph, Entra and Exchange Online → what it means and what exactly mends it.

The codes are those of FACTS B2, C3 and D4, the commands those of FACTS F; ``<…>`` stands for what the reader fills in.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What sort of thing is wrong; ``message`` is the one class that nobody but the sender can mend."""

    CREDENTIALS = "credentials"
    NETWORK = "network path"
    POLICY = "licence or policy"
    THROTTLING = "throttling"
    CONFIGURATION = "configuration"
    SERVICE = "service"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Fix:
    """What a code means and what mends it, with the command or the step in the portal."""

    kind: Kind
    cause: str
    remedy: str


_ROLE: Final = "New-ManagementRoleAssignment -App <enterprise app object id> -Role '{}' -RecipientGroupScope '<group>'"
RIGHT_TO_DRAFTS: Final = _ROLE.format("Application Mail.ReadWrite")
"""The line that grants an app the right to write drafts in the mailboxes of a group."""
RIGHT_TO_REPORTS: Final = _ROLE.format("Application Mail.Read")
"""The line that grants an app the right to read what comes into the mailboxes of a group."""
_PASTED: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._+=:/@-]{0,383}")
_DELAY: Final = "Changes need 30 minutes, up to 2 hours where the app is busy."
_OFTEN: Final = {
    "delay": _DELAY,
    "send": f"{_ROLE.format('Application Mail.Send')}. {_DELAY}",
    "read": f"{_ROLE.format('Application Mail.ReadBasic')}. {_DELAY}",
    "report": f"{RIGHT_TO_REPORTS}. {_DELAY}",
    "smtp": f"{_ROLE.format('Application SMTP.SendAsApp')}. {_DELAY}",
    "drafts": f"{RIGHT_TO_DRAFTS}. {_DELAY}",
    "prove": f"Nothing to do while look-ups work; they need {_ROLE.format('Application Mail.ReadBasic')}.",
    "status": "Nothing to do here; see https://status.cloud.microsoft or admin.cloud.microsoft > Health.",
    "secret": "az ad app credential reset --id <client id> --append, then write the new password where client_secret points.",
}

# key | class | cause | remedy
_TABLE: Final = """
settings.wrong | configuration | the settings are wrong | Correct what is named here, until posthouse config check says ok.
settings.unreadable | configuration | a secret or a file cannot be read where the settings say it lies | Show the way to it with namei -l <file>: it must be there, not empty, and readable for the service's user; then: posthouse config check.
spool.unwritable | configuration | the spool cannot be written where it lies | findmnt -T <folder> and namei -l <folder>: the disk must be mounted read-write, the folder must belong to the service's user, mode 0700.
spool.low | configuration | too little room is left on the disk under the spool | df -h <folder>; make room, or shorten retention and content_retention under [spool]. Nothing that was accepted is lost.
spool.locked | configuration | another process has the spool open | Speak to that one: run this as the service's user on its machine (sudo -u posthouse posthouse doctor), or set POSTHOUSE_URL and POSTHOUSE_KEY.
spool.network_disk | configuration | the spool lies on a network file system, where mail can be lost | findmnt -T <folder>; put the spool on a local disk, or use PostgreSQL: posthouse spool copy.
spool.master | configuration | the master that the contents are sealed under is not at hand | Put the master back (beside the spool, mode 0600, or where [secrets] master points); posthouse spool check says which one is missing.
spool.damaged | configuration | the spool's file is damaged | Keep the file, and put the latest backup in its place; posthouse spool check looks through it.
spool.refused | configuration | the spool cannot be used as it is | Do what is said here; posthouse spool check looks through it.
spool.unreachable | network path | the spool's database cannot be reached or takes no writes | psql "<address of the database>" -c 'select pg_is_in_recovery()' must say f; check address, password and firewall.
sender_blocked | licence or policy | the mailbox may not send as this From address; all its mail waits, one message probes | Add-RecipientPermission <from address> -Trustee <mailbox> -AccessRights SendAs, or send through the mailbox of the From address; then wait for the probe or: posthouse messages release <id>.
unconfirmed | service | nobody knows whether it was sent, and its client wants a person to decide | Look into the mailbox's Sent Items, then: posthouse messages settle <id> --as sent (or not-sent).
unconfirmed_no_right | licence or policy | nobody knows whether it was sent, and the app may not look into the mailbox | {read} Or look yourself, then: posthouse messages settle <id> --as sent (or not-sent).
unconfirmed_no_witness | service | no copy was found, but no other message proves that copies can be found in this mailbox | It is looked for again by itself once the mailbox has sent something else by the same transport (after a restore: by each of its route); or look yourself, then: posthouse messages settle <id> --as sent (or not-sent).
unconfirmed_no_look_up | service | nobody knows whether it was sent, and the look-up has no answer | It is looked for again by itself; {status}
unconfirmed_draft | service | a copy still lies in Drafts: Exchange has taken the message and not moved it on | Look into the mailbox's Drafts and Sent Items, then: posthouse messages settle <id> --as sent (or not-sent).
unconfirmed_shared_message_id | message | several messages carry its Message-ID, so that one copy proves nothing | Look into the mailbox's Sent Items, then: posthouse messages settle <id> --as sent (or not-sent). Let the program give each message its own Message-ID.
unconfirmed_older_copy | message | the only copies with its Message-ID are older than its own first attempt: they are another mail's, or the machine's clock was wrong | Look into the mailbox's Sent Items, then: posthouse messages settle <id> --as sent (or not-sent). Let the program give each message its own Message-ID, and keep the machine's clock right.
extra_header_recipients | configuration | its header names recipients that are not in its envelope, and extra_header_recipients = "hold" | Put an SMTP transport into the route, or set extra_header_recipients to drop; then posthouse messages cancel <id> and submit it again.
client_paused | configuration | somebody paused the client that submitted it | Resume it: posthouse clients resume <client>; what is held goes on within half a minute.
draft_permission | licence or policy | the app may not write drafts in the mailbox, so that its messages over 3 MB wait; all others go on | {drafts} Or set drafts = false and put an SMTP transport into the route. They are tried again by themselves, or: posthouse messages release <id>.
content_unreadable | configuration | its content cannot be opened: it was changed where it lies, or its master is not at hand | posthouse spool check says which; where a master is missing, put it into [secrets] previous and restart, then: posthouse messages release <id>. Else cancel it and submit it again.
no_transport | configuration | its route names only transports that the settings no longer have | Put a transport of that name back into the settings, then: posthouse messages release <id>; or cancel it and submit it again.
paused_by_person | configuration | somebody paused it | Resume it: posthouse lanes resume <mailbox>, or posthouse transports resume <name>; who paused it stands beside it.
pace | throttling | the mailbox has used up its messages of this minute (30, of which 6 are kept for priority high) | Nothing to do, posthouse queue says until when; spread the mail over more mailboxes with [[senders]] mailboxes, or send what is urgent with priority high.
sender_pace | throttling | the sender has used up its own messages of this minute ([[senders]] limits) | Nothing to do, posthouse queue says until when; or raise the limits of this sender.
slots | throttling | the mailbox has as many requests under way as it may (4, of which 1 is kept for priority high) | Nothing to do; it goes on when one is answered (posthouse queue).
upload | throttling | the mailbox has uploaded as much as it may in five minutes (150 MB) | Nothing to do, posthouse queue says until when; spread large mail over more mailboxes with [[senders]] mailboxes.
recipients_per_day | throttling | the mailbox has used up its recipients of 24 hours (10,000) | Wait (posthouse queue says until when), spread the mail over more mailboxes with [[senders]] mailboxes, or use High Volume Email for internal mail.
tenant_recipients_per_day | throttling | the tenant has used up its recipients of 24 hours ([limits] tenant_recipients_per_day) | Wait (posthouse queue says until when), or raise the setting where the tenant's licences allow more.
scheduled | message | nothing is due yet | Nothing to do; posthouse messages change <id> sends it earlier.
transport | service | no transport of its route can be used now | See posthouse transports list.
client_secret_ends | credentials | the client secret ends soon, or has ended: then no mail is sent | {secret} Then write its new end into client_secret_expires_on.
app_certificate_ends | credentials | the app's certificate ends soon, or has ended: then no mail is sent | Make a new one (openssl req -x509 -newkey rsa:3072 -nodes -days 365 …), az ad app credential reset --id <client id> --cert @<public certificate>.pem --append, and let client_certificate point to it with its key; no restart is needed.
listener_certificate_ends | configuration | the certificate that posthouse shows ends soon, or has ended: then programs refuse to connect | Put the renewed certificate and its key where tls_cert and tls_key point; no restart is needed. openssl x509 -noout -enddate -in <file> shows until when it is good.
listener_certificate | configuration | the certificate that posthouse shows cannot be read; the one read before stays in use until the next start | namei -l <file>: tls_cert and tls_key must be there, readable for the service's user, and belong together.
day_nearly_used | throttling | the recipients of 24 hours are nearly used up; then mail waits | Spread the mail over more mailboxes with [[senders]] mailboxes, use High Volume Email for internal mail, or raise the limit under [limits] where Exchange's is higher; posthouse lanes list shows who sends how much.
lane_ages | service | mail waits for longer than [alerts] lane_age allows | posthouse queue says what each mailbox waits for, and until when.
messages_held | configuration | messages wait for a person or a policy | posthouse messages list --status held names them, posthouse why <id> says what each waits for; then posthouse messages release, retry or cancel <id>.
nobody_sends | service | no process of posthouse sends what is due | posthouse serve with the role all or worker must run; journalctl -u posthouse says why the last one ended.
smtp.password_retires | licence or policy | Exchange Online gives up passwords for SMTP AUTH: off by default from the end of December 2026, and removed later | Set auth = "xoauth2" at this transport and give the app the right: {smtp} Until then an administrator can switch passwords on again: Set-TransportConfig -SmtpClientAuthenticationDisabled $false.
clock_differs | configuration | this machine's clock was set, or is wrong; posthouse follows it slowly, so that nothing is sent too early | timedatectl status: the clock must be synchronised; posthouse takes it at its next start.
graph.token_refused | credentials | Graph refuses a token that Entra ID has just issued | Check that cloud and base_url belong to the tenant, that this machine's clock is right, and that the app is enabled: az ad sp show --id <client id> --query accountEnabled.
graph.app_permission | licence or policy | the app lacks the permission for this request | {send}
graph.mailbox_permission | licence or policy | the app may not send from this mailbox | Add-DistributionGroupMember '<group>' -Member <mailbox>; check with Test-ServicePrincipalAuthorization -Identity <enterprise app object id> -Resource <mailbox> (InScope must be True). {delay}
graph.no_right | licence or policy | the app may not send from this mailbox: it has no right at all, or one whose scope leaves the mailbox out | Test-ServicePrincipalAuthorization -Identity <enterprise app object id> -Resource <mailbox> tells. No line for Application Mail.Send: {send} InScope False: Add-DistributionGroupMember '<group>' -Member <mailbox>.
graph.access_policy | licence or policy | an application access policy keeps the app out of this mailbox, though Entra grants it all | Test-ApplicationAccessPolicy -AppId <client id> -Identity <mailbox> must say Granted: add the mailbox to the policy's group, or Remove-ApplicationAccessPolicy and use RBAC for Applications. Changes need up to 2 hours.
graph.send_as | licence or policy | the mailbox may not send as this From address | Add-RecipientPermission <from address> -Trustee <mailbox> -AccessRights SendAs, or send through the mailbox of the From address.
graph.no_mailbox | configuration | there is no such user or mailbox | Get-Mailbox <mailbox>; correct the sender, or map it to a mailbox with [[senders]].
graph.no_licence | licence or policy | the mailbox is not in Exchange Online: no licence, soft-deleted, or on premises | Give the user an Exchange Online licence, or make it a shared mailbox: Set-Mailbox <mailbox> -Type Shared.
graph.mailbox_full | licence or policy | the sending mailbox is full | Empty its Sent Items and set a retention policy: Set-Mailbox <mailbox> -RetentionPolicy <policy>.
graph.day_quota | throttling | the mailbox has reached Exchange's limit of recipients a day (10,000 in 24 hours) | Wait (posthouse queue says until when), spread the mail over more mailboxes with [[senders]], or use High Volume Email for internal mail.
graph.throttled | throttling | Graph slows this mailbox down | Nothing to do; posthouse waits as long as Graph asks, posthouse queue says until when. Where it goes on, lower concurrent_requests under [limits].
graph.busy | service | Graph is busy or not available | {status}
graph.uncertain | service | Graph's answer does not say whether the message was taken | {prove}
graph.suspended | licence or policy | the mailbox is blocked from sending | security.microsoft.com > Review > Restricted entities: release the mailbox after finding the cause.
graph.redirect | configuration | the answer is not Graph's sendMail answer: something between answers instead, or the message is over the request limit | Check base_url and exclude graph.microsoft.com from any proxy or TLS inspection; posthouse doctor --step tls shows who issued the certificate.
graph.proxy | network path | something between posthouse and Graph refuses the request; Graph itself answers with a JSON error | Allow graph.microsoft.com:443 without authentication or inspection in the proxy or firewall, and check base_url; then: posthouse doctor.
graph.recipients | message | a recipient's address is refused, or there is none | Correct the recipients: posthouse messages show <id> lists them.
graph.headers | message | a header is refused | Remove or rename the custom headers, whose names must start with X-: posthouse messages content <id> shows them.
graph.too_large | message | the message is larger than the mailbox or the request may send | Set-Mailbox <mailbox> -MaxSendSize 150MB, or give the route an SMTP transport for large messages.
graph.malformed | message | Graph cannot read the message | Show it with posthouse messages content <id>; a message that posthouse composed itself is a bug to report.
graph.content_refused | message | the content is refused as spam or malware | Change the content: posthouse messages content <id> shows it; security.microsoft.com > Explorer says what it was taken for.
graph.item_gone | service | the item is not in the mailbox any more | Look in Sent Items of the mailbox; posthouse messages show <id> says what was tried.
graph.upload | service | a large file could not be uploaded into its draft; nothing was sent | {status} Allow outlook.office.com:443 beside graph.microsoft.com in the proxy or firewall: large files go there.
graph.refused_message | message | Graph refuses this message | posthouse messages show <id> has Graph's text and code; correct what they name, and submit it again.
graph.read_permission | licence or policy | the app may not look messages up, so doubtful sends cannot be settled | {read}
graph.service | service | Graph gave no answer that counts | {status}
graph.report_permission | licence or policy | the app may not read what comes into the mailbox, so that nobody hears which mail did not arrive | {report} Or set bounces = false, and let a person get the reports: Set-Mailbox <mailbox> -ForwardingAddress <person> -DeliverToMailboxAndForward $true.
graph.reports_unread | configuration | nobody reads the reports about mail that did not arrive | Let posthouse read them: {report} Then set bounces = true for the transport. Or let a person get them: New-InboxRule -Mailbox <mailbox> -Name Undeliverable -SubjectContainsWords Undeliverable -ForwardTo <person>, or Set-Mailbox <mailbox> -ForwardingAddress <person> -DeliverToMailboxAndForward $true.
bounce.recipient_unknown | message | nobody has the recipient's address any more, or nobody ever had | Correct it or send there no more (posthouse messages show <id> names it); in your own organisation Get-Recipient <recipient> says whether it exists.
bounce.recipient_domain | message | the recipient's domain does not exist, or takes no mail for this address | Correct the address (posthouse messages show <id> names it); where the domain is your own, Get-AcceptedDomain must list it, and its MX record must lead to Exchange Online.
bounce.recipient_full | message | the recipient's mailbox is full | The recipient must make room, then submit it again; in your own organisation Get-MailboxStatistics <recipient> says how full it is.
bounce.recipient_mailbox | message | the recipient's mailbox takes no mail now | Ask the recipient in another way, then submit it again; in your own organisation Get-Mailbox <recipient> says whether it is enabled.
bounce.too_large | message | the message is larger than the recipient takes | Send less, or a link; in your own organisation Set-Mailbox <recipient> -MaxReceiveSize 150MB.
bounce.restricted | licence or policy | the recipient's organisation does not take this mail from this sender | Ask the recipient's administrator to allow the sender; in your own organisation Set-DistributionGroup <recipient> -RequireSenderAuthenticationEnabled $false, or see admin.exchange.microsoft.com > Mail flow > Rules.
bounce.unreachable | network path | the recipient's server was not reached, or put the mail off for as long as Exchange tries (24 hours) | Look at the domain's MX record and at admin.exchange.microsoft.com > Mail flow > Message trace; submit it again when that server answers.
bounce.loop | configuration | the mail went round in circles between servers | Get-AcceptedDomain and Get-OutboundConnector: a domain whose mailboxes are elsewhere must be InternalRelay with a connector that leads there; correct forwarding rules of the recipient.
bounce.unauthenticated | configuration | the recipient's server does not believe that the mail comes from your domain: SPF, DKIM or DMARC fails | security.microsoft.com > Policies & rules > Threat policies > Email authentication settings: sign with DKIM; the domain's SPF record must have include:spf.protection.outlook.com.
bounce.spam | message | the recipient's server takes the mail for spam | Change what posthouse messages content <id> shows, send less of it at once, and see security.microsoft.com > Email & collaboration > Explorer.
bounce.other | message | the recipient's server refused the mail | posthouse messages show <id> has its words and code; correct what they name, and submit it again.
entra.secret_wrong | credentials | wrong client secret; often its id was pasted instead of its value | {secret}
entra.secret_id | credentials | the id of the client secret was written, not its value | {secret} The id (a GUID, the column Secret ID of the portal) is never the secret.
entra.secret_expired | credentials | the client secret has expired | {secret}
entra.secret_missing | credentials | the token request carried no credential | Set client_secret or client_certificate under [entra]; az ad app credential reset --id <client id> --append makes a secret.
entra.secret_unreadable | credentials | the credential cannot be read here | namei -l <file of client_secret or client_certificate>: it must be there, readable for the service and, for a certificate, hold the private key; a managed or workload identity must be assigned to this machine.
entra.app_unknown | configuration | the app is not in this tenant: wrong client id, tenant or cloud | az ad app list --display-name <name> --query '[].appId'; correct entra.client_id, tenant_id or cloud.
entra.app_disabled | licence or policy | the app or its enterprise app is disabled | entra.microsoft.com > Enterprise applications > <app> > Properties > Enabled for users to sign in: Yes.
entra.tenant_unknown | configuration | the tenant was not found: a typo, or another cloud's | az account show --query tenantId shows the id; correct tenant_id or cloud under [entra].
entra.cross_cloud | configuration | app and login host belong to different clouds | Set cloud under [entra] to the cloud of the tenant (az cloud show --query name), and take tenant and client id from there.
entra.resource_unknown | configuration | the tenant does not know the resource of the scope | Set cloud under [entra] to the cloud of the tenant (az cloud show --query name).
entra.scope | configuration | the scope is not accepted | Set cloud under [entra] (az cloud show --query name); a scope is one resource and /.default.
entra.certificate | credentials | the certificate or the assertion's signature is not accepted | az ad app credential reset --id <client id> --cert @<public certificate>.pem --append, and let client_certificate point to the matching private key.
entra.certificate_expired | credentials | the certificate has expired | Make a new one (openssl req -x509 -newkey rsa:3072 -nodes -days 365 …), az ad app credential reset --id <client id> --cert @<public certificate>.pem --append, and let client_certificate point to it with its key.
entra.clock | credentials | the assertion is outside its time range: this machine's clock is wrong, or the federated token is old | timedatectl status; for a workload identity check that its token file is renewed.
entra.federation | credentials | no federated credential matches this workload | az ad app federated-credential list --id <client id>: issuer, subject and audience must match exactly.
entra.conditional_access | licence or policy | Conditional Access or a security policy blocks the app | entra.microsoft.com > Protection > Conditional Access: exclude the workload identity, or allow its address.
entra.consent | licence or policy | a permission lacks an administrator's consent | az ad app permission admin-consent --id <client id>.
entra.user_flow | configuration | the answer belongs to a user's sign-in | az ad app show --id <client id>: client_id must name an app registration.
entra.loop | throttling | Entra ID saw too many token requests | Nothing to do; posthouse asks less often.
entra.busy | service | Entra ID is busy or not available | {status}
entra.refused | credentials | Entra ID refuses the token request | Look the AADSTS code up at https://login.microsoftonline.com/error.
smtp.token_refused | credentials | Exchange does not accept the app's token for this mailbox | Register the app in Exchange with the ENTERPRISE APP's object id: New-ServicePrincipal -AppId <client id> -ObjectId <enterprise app object id>; then {smtp}
smtp.disabled_tenant | licence or policy | SMTP AUTH is off for the tenant | Set-TransportConfig -SmtpClientAuthenticationDisabled $false
smtp.disabled_mailbox | licence or policy | SMTP AUTH is off for the mailbox | Set-CASMailbox <mailbox> -SmtpClientAuthenticationDisabled $false
smtp.password | credentials | user name or password is wrong | Correct username and password of the transport, then: posthouse doctor --step auth.
smtp.password_unreadable | credentials | the password cannot be read here | namei -l <file>: the file or variable of the transport's password must be there and readable for the service.
smtp.conditional_access | licence or policy | Conditional Access, multi-factor or an authentication policy blocks the login | Set auth = "xoauth2", or exclude the account: entra.microsoft.com > Protection > Conditional Access, and Get-AuthenticationPolicy for basic authentication.
smtp.security_defaults | licence or policy | the tenant's security defaults block the login | Set auth = "xoauth2"; or entra.microsoft.com > Overview > Properties > Manage security defaults.
smtp.basic_gone | licence or policy | basic authentication is not supported any more | Set auth = "xoauth2" for this transport, and grant it: {smtp}
smtp.not_authenticated | configuration | the server wants a login first | Set auth = "xoauth2" or "login" for this transport, then: posthouse doctor --step auth.
smtp.send_as | licence or policy | the account may not send as this From address | Add-RecipientPermission <from address> -Trustee <mailbox> -AccessRights SendAs.
smtp.connections | throttling | more than 3 connections of this mailbox at a time | Nothing to do, posthouse queue says until when; let nobody else send over SMTP with the same mailbox.
smtp.day_quota | throttling | the mailbox has reached Exchange's limit of recipients a day (10,000 in 24 hours) | Wait (posthouse queue says until when), spread the mail over more mailboxes with [[senders]], or use High Volume Email for internal mail.
smtp.mailbox_full | licence or policy | the sending mailbox is full | Empty its Sent Items and set a retention policy: Set-Mailbox <mailbox> -RetentionPolicy <policy>.
smtp.repeated_error | licence or policy | Exchange slows the mailbox down because the same error came again and again | Mend what posthouse messages list --status failed and posthouse doctor --sender <mailbox> name (full mailbox, SendAs, licence, recipients), then wait.
smtp.restricted | licence or policy | the mailbox is blocked as a source of spam | security.microsoft.com > Review > Restricted entities: release the mailbox after finding the cause.
smtp.tenant_blocked | licence or policy | Exchange takes no mail from this tenant or address | admin.cloud.microsoft > Support: ask for the tenant's release (trial tenants are limited).
smtp.tenant_quota | throttling | the tenant has reached its limit of external recipients a day | admin.exchange.microsoft.com > Reports > Mail flow > Tenant Outbound External Recipients; wait, or add licences.
smtp.grey_listed | service | Exchange defers mail from this address for now | {status}
smtp.busy | service | the server is busy or shutting down | {status}
smtp.too_large | message | the message is larger than the server takes | Set-Mailbox <mailbox> -MaxSendSize 150MB, or send less.
smtp.no_starttls | configuration | the server offers no STARTTLS, so nothing was sent | openssl s_client -starttls smtp -connect <host>:<port> shows who answers: check host and port (587), remove SMTP inspection from the path, or set security = "tls" (port 465).
smtp.no_auth | configuration | the server does not offer the configured way to log in | Check host, port and auth of the transport: openssl s_client -starttls smtp -connect <host>:<port>, then EHLO x, shows what is offered.
smtp.server_refuses | configuration | the server refuses to talk to this client | Check host and port (nc -v <host> <port> shows the greeting), and the connector that should match: Get-InboundConnector in Exchange Online PowerShell.
smtp.mailbox_refused | configuration | the server refuses this account or sender | Check the account's rights with the text of the answer: Get-CASMailbox <mailbox> and Get-Mailbox <mailbox>.
smtp.recipient_refused | message | recipients were refused | Correct the recipients: posthouse messages show <id> lists them with their replies.
smtp.refused_message | message | the server refuses this message | posthouse messages show <id> has the server's text and code; correct what they name, and submit it again.
smtp.not_supported | message | the server lacks an extension that this message needs | Use ASCII addresses and 7-bit content, or another transport for this message; posthouse doctor --step ehlo shows who answers.
smtp.uncertain | service | the connection was lost after the content had begun to leave | {prove}
network.dns | network path | the host name cannot be resolved | getent hosts <host>; check this machine's resolver (/etc/resolv.conf).
network.refused | network path | the connection is refused | Allow the host and port in the firewall: nc -vz <host> <port>.
network.unreachable | network path | there is no way to the host | Check route and firewall: nc -vz <host> <port>.
network.certificate | network path | the certificate cannot be verified, often because of TLS inspection | openssl s_client -connect <host>:<port> shows who issued it; exclude the host from TLS inspection, or name the inspecting CA with ca_file.
network.tls | network path | the TLS handshake fails | openssl s_client -connect <host>:<port>; TLS 1.2 must pass.
network.path | network path | the connection breaks or stays silent | nc -vz <host> <port>, then openssl s_client -connect <host>:<port>; check firewall, proxy and MTU between here and the host.
network.proxy | network path | the proxy of HTTPS_PROXY cannot be reached, or breaks the connection off | nc -vz <proxy host> <proxy port>; correct HTTPS_PROXY where the service gets it (/etc/posthouse/posthouse.env, a container's environment), or name the host in NO_PROXY where it can be reached without the proxy.
network.proxy_login | network path | the proxy wants a login, or refuses the one in HTTPS_PROXY | Write HTTPS_PROXY=http://user:password@<proxy host>:<proxy port>, special characters percent-encoded, where the service gets it (/etc/posthouse/posthouse.env, a container's environment), or let the proxy pass <host>:<port> without a login; then: posthouse doctor --step tcp.
network.proxy_refused | network path | the proxy refuses to connect to the host | Allow CONNECT to <host>:<port> in the proxy; its answer: curl -sv -o /dev/null -x http://<proxy host>:<proxy port> https://<host>:<port>
network.proxy_way | network path | the proxy finds no way to the host | Mend the proxy's own name resolution and firewall for <host>:<port>; its answer: curl -sv -o /dev/null -x http://<proxy host>:<proxy port> https://<host>:<port>
no_answer | network path | no answer came before the attempt's deadline or the end of the service's drain | {prove}
"""


def _rows(table: str) -> Mapping[str, Fix]:
    found: dict[str, Fix] = {}
    for line in table.strip().splitlines():
        key, kind, cause, remedy = line.split(" | ")
        if key in found:
            raise ValueError(f"two fixes are called {key}")
        found[key] = Fix(Kind(kind), cause, remedy.format(**_OFTEN))
    return MappingProxyType(found)


FIXES: Final = _rows(_TABLE)
"""Key of a fix → what it says."""

GRAPH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "InvalidAuthenticationToken": "graph.token_refused",
        "Authorization_RequestDenied": "graph.app_permission",
        "ErrorAccessDenied": "graph.mailbox_permission",
        "ErrorSendAsDenied": "graph.send_as",
        "ErrorInvalidUser": "graph.no_mailbox",
        "Request_ResourceNotFound": "graph.no_mailbox",
        "MailboxNotEnabledForRESTAPI": "graph.no_licence",
        "ErrorQuotaExceeded": "graph.mailbox_full",
        "QuotaExceededException": "graph.mailbox_full",
        "ErrorSubmissionQuotaExceeded": "graph.day_quota",
        "ErrorExceededMessageLimit": "graph.day_quota",
        "ErrorExceededMaxRecipientLimit": "graph.day_quota",
        "ErrorMessageSubmissionBlocked": "graph.suspended",
        "ErrorAccountSuspend": "graph.suspended",
        "ApplicationThrottled": "graph.throttled",
        "CommandConcurrencyLimitReached": "graph.throttled",
        "ErrorServerBusy": "graph.uncertain",
        "ErrorDirectoryConcurrencyLimit": "graph.uncertain",
        "UnknownError": "graph.uncertain",
        "ErrorInternalServerError": "graph.uncertain",
        "ErrorInvalidRecipients": "graph.recipients",
        "InvalidInternetMessageHeader": "graph.headers",
        "InvalidInternetMessageHeaderCollection": "graph.headers",
        "ErrorMessageSizeExceeded": "graph.too_large",
        "ErrorMimeContentInvalidBase64String": "graph.malformed",
        "UnableToDeserializePostBody": "graph.malformed",
        "RequestBodyRead": "graph.malformed",
        "BadRequest": "graph.refused_message",
        "ErrorMessageBlocked": "graph.content_refused",
        "ErrorItemNotFound": "graph.item_gone",
    }
)
"""Code of a Graph error → fix (FACTS B2)."""


def _entra(rows: Mapping[str, tuple[int, ...]]) -> Mapping[int, str]:
    return MappingProxyType({code: key for key, codes in rows.items() for code in codes})


ENTRA_CONFIGURATION: Final = _entra(
    {
        "entra.secret_wrong": (7000215,),
        "entra.secret_expired": (7000222,),
        "entra.secret_missing": (7000218,),
        "entra.app_unknown": (700016, 700011),
        "entra.app_disabled": (7000112, 70001),
        "entra.tenant_unknown": (90002, 9001023, 50194),
        "entra.cross_cloud": (900382, 900432, 90038),
        "entra.resource_unknown": (500011, 50001),
        "entra.scope": (70011, 28002, 700022),
        "entra.certificate": (700027, 50012, 50013, 700030),
        "entra.certificate_expired": (1000502,),
        "entra.clock": (700024,),
        "entra.federation": (700213,),
        "entra.conditional_access": (53003, 530032),
        "entra.consent": (650052, 650056, 650057, 65001),
        "entra.user_flow": (50034, 50126),
    }
)
"""AADSTS code that an administrator must mend → fix (FACTS C3)."""

ENTRA_PASSING: Final = _entra(
    {"entra.loop": (50196,), "entra.busy": (90033, 90006, 90012, 90024, 90090, 90091, 90055, 50000, 90036)}
)
"""AADSTS code that passes by itself → fix (FACTS C3)."""

NETWORK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dns": "network.dns",
        "refused": "network.refused",
        "unreachable": "network.unreachable",
        "connect_timeout": "network.unreachable",
        "certificate": "network.certificate",
        "tls": "network.tls",
        "reset": "network.path",
        "closed": "network.path",
        "garbled": "network.path",
        "silence": "network.path",
        "stalled": "network.path",
        "proxy": "network.proxy",
        "proxy_login": "network.proxy_login",
        "proxy_refusal": "network.proxy_refused",
        "proxy_way": "network.proxy_way",
        "unknown": "network.path",
    }
)
"""Name of a fault below HTTP or SMTP → fix."""


TENANT_CODES: Final = frozenset({"5.7.232", "5.7.233"})
"""Codes of reports that are about the tenant, whoever sent the mail: its limit of external recipients (FACTS B1, D4)."""

_BOUNCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        code: key
        for key, codes in {
            "bounce.recipient_unknown": "5.1.0 5.1.1 5.1.3 5.1.6 5.1.10",
            "bounce.recipient_domain": "5.1.2 5.4.1 5.4.4 5.4.310 5.4.312",
            "bounce.recipient_full": "4.2.2 5.2.2",
            "bounce.recipient_mailbox": "5.2.1",
            "bounce.too_large": "5.2.3 5.3.4",
            "bounce.unreachable": "4.4.7 5.4.7 5.4.300 4.4.316 5.4.316",
            "bounce.loop": "5.4.6 5.4.14",
            "bounce.spam": "5.7.28 5.7.350",
            "smtp.day_quota": "5.1.90",
            "bounce.unauthenticated": "5.1.8 5.7.9 5.7.20 5.7.23 5.7.26 5.7.509",
            "smtp.send_as": "5.2.252 5.7.60",
            "smtp.restricted": "5.7.501 5.7.502 5.7.503 5.7.511",
            "smtp.tenant_blocked": "5.7.705 5.7.708 5.7.750",
            "smtp.tenant_quota": " ".join(sorted(TENANT_CODES)),
        }.items()
        for code in codes.split()
    }
)
_BOUNCES_BY_SUBJECT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": "bounce.recipient_unknown",
        "2": "bounce.recipient_mailbox",
        "4": "bounce.unreachable",
        "7": "bounce.restricted",
    }
)


_BOUNCE_WORDS: Final = (("5.1.8", "outbound", "smtp.restricted"), ("5.2.252", "throttled", "smtp.repeated_error"))
"""Where a code says two things: the word by which Exchange means this one (FACTS D4)."""


def bounce_fix(code: str | None, text: str = "") -> str:
    """The fix of an enhanced status code of a report (FACTS D4), else of what such codes are about (RFC 3463 §3.1)."""
    for told, word, key in _BOUNCE_WORDS:
        if code == told and word in text.lower():
            return key
    _, _, rest = (code or "").partition(".")
    return _BOUNCES.get(code or "") or _BOUNCES_BY_SUBJECT.get(rest.partition(".")[0], "bounce.other")


def entra_fix(codes: Collection[int]) -> str | None:
    """The fix of the first known AADSTS code."""
    return next((key for code in codes if (key := ENTRA_CONFIGURATION.get(code) or ENTRA_PASSING.get(code))), None)


def filled(remedy: str, names: Mapping[str, str]) -> str:
    """The remedy with what is known in the place of ``<…>``; what a shell might misread is left to the reader.

    A sender, for one, is named by whoever has a key for its domain, and administrators paste remedies.
    """
    for name, value in names.items():
        if _PASTED.fullmatch(value):
            remedy = remedy.replace(f"<{name}>", value)
    return remedy


@dataclass(frozen=True, slots=True)
class Fixes:
    """The advice for every key, as ports.Diagnosis wants it."""

    def fix(self, key: str) -> Fix | None:
        """Class, cause and remedy; None for a key that nobody knows."""
        return FIXES.get(key)

    def advice(self, fix: str) -> str:
        """Cause and remedy in one line; for a key that nobody knows, where to look."""
        known = FIXES.get(fix)
        if known is None:
            return "No advice is known for this; see the answer's own text and code."
        return f"{known.cause[0].upper()}{known.cause[1:]}. {known.remedy}"
