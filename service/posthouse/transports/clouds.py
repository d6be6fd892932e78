"""Microsoft's clouds: hosts and scopes that belong together (FACTS A7); tokens of one are worth nothing in another."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where one cloud signs in, takes Graph requests and takes SMTP, and the scopes of the two tokens."""

    authority: str
    graph_url: str
    smtp_host: str
    graph_scope: str
    smtp_scope: str


CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType(
    {
        "worldwide": Cloud(
            authority="https://login.microsoftonline.com",
            graph_url="https://graph.microsoft.com/v1.0",
            smtp_host="smtp.office365.com",
            graph_scope="https://graph.microsoft.com/.default",
            smtp_scope="https://outlook.office365.com/.default",
        ),
        "usgov": Cloud(
            authority="https://login.microsoftonline.us",
            graph_url="https://graph.microsoft.us/v1.0",
            smtp_host="smtp.office365.us",
            graph_scope="https://graph.microsoft.us/.default",
            smtp_scope="https://outlook.office365.us/.default",
        ),
        "usgovdod": Cloud(
            authority="https://login.microsoftonline.us",
            graph_url="https://dod-graph.microsoft.us/v1.0",
            smtp_host="outlook-dod.office365.us",
            graph_scope="https://dod-graph.microsoft.us/.default",
            smtp_scope="https://outlook.office365.us/.default",
        ),
        "china": Cloud(
            authority="https://login.chinacloudapi.cn",
            graph_url="https://microsoftgraph.chinacloudapi.cn/v1.0",
            smtp_host="smtp.partner.outlook.cn",
            graph_scope="https://microsoftgraph.chinacloudapi.cn/.default",
            smtp_scope="https://partner.outlook.cn/.default",
        ),
    }
)
"""The value of ``entra.cloud`` → its cloud."""
