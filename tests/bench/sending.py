"""Messages handed over per second by the whole service, beside Microsoft's SDK on its default client and bare aiohttp.

``uv run python -m tests.bench.sending``; bounded: 1,600 messages a round, 2 rounds, and 400 on one mailbox.
"""

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import aiohttp
import httpx
from azure.identity.aio import ClientSecretCredential
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph_core import GraphClientFactory

from tests.system.harness import Service, letter
from tests.system.remote import Remote, emulator

MESSAGES = 1_600
IN_FLIGHT = 16
LANES = 8
LATENCY = 0.05
ONE_LANE = 400
SENDERS = [f"app{lane}@contoso.example" for lane in range(LANES)]
MIMES = [
    f"From: {sender}\r\nTo: r@example.net\r\nSubject: bench\r\n\r\n".encode() + (b"x" * 76 + b"\r\n") * 49
    for sender in SENDERS
]


async def loop(send: Callable[[int], Awaitable[None]], *, in_flight: int = IN_FLIGHT) -> float:
    """Messages a second with so many in flight."""
    numbers = iter(range(MESSAGES))

    async def sender() -> None:
        for number in numbers:
            await send(number)

    await send(0)
    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(in_flight)))
    return MESSAGES / (time.perf_counter() - began)


async def by_sdk(remote: Remote) -> float:
    """Microsoft's SDK as its documentation builds it: its default client and middleware."""
    options, trust = remote.options, ssl.create_default_context(cafile=str(remote.ca_file))
    credential = ClientSecretCredential(
        options.tenant_id,
        options.client_id,
        options.client_secret,
        authority=remote.authority,
        disable_instance_discovery=True,
        connection_verify=str(remote.ca_file),
    )
    provider = AzureIdentityAuthenticationProvider(credential, scopes=["https://graph.microsoft.com/.default"])
    http = GraphClientFactory.create_with_default_middleware(client=httpx.AsyncClient(verify=trust))
    adapter = GraphRequestAdapter(provider, client=http)
    adapter.base_url = remote.graph_url

    async def send(number: int) -> None:
        lane = number % LANES
        request = RequestInformation(Method.POST, "{+baseurl}/users/{user}/sendMail", {"user": SENDERS[lane]})
        request.set_stream_content(base64.b64encode(MIMES[lane]), "text/plain")
        request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        response: object = await adapter.send_no_response_content_async(request, {})
        assert isinstance(response, httpx.Response)
        assert response.status_code == 202, response.text

    async with credential, http:
        return await loop(send)


async def by_aiohttp(remote: Remote) -> float:
    """Nothing but POSTs."""
    options, trust = remote.options, ssl.create_default_context(cafile=str(remote.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=64)) as session:
        form = {
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
        }
        async with session.post(f"{remote.authority}/{options.tenant_id}/oauth2/v2.0/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}

        async def send(number: int) -> None:
            lane = number % LANES
            url = f"{remote.graph_url}/users/{SENDERS[lane]}/sendMail"
            async with session.post(url, data=base64.b64encode(MIMES[lane]), headers=headers) as answer:
                assert answer.status == 202

        return await loop(send)


async def by_service(remote: Remote, home: Path, *, messages: int, lanes: int) -> float:
    """The whole service: everything is accepted first, falls due at one moment, and is counted at the emulator."""
    service = Service(home, remote, limits={"messages_per_minute": 0}, delivery={"route": ["graph"]})
    await service.start()
    try:
        await service.make_key("*@contoso.example")
        for _ in range(2):
            warm = [await service.submit(letter(f"app{lane}@contoso.example", lane)) for lane in range(lanes)]
            await service.until(warm)
        before = len(await remote.posts())
        due = datetime.now(UTC) + timedelta(seconds=4 + messages / 600)
        text = "x" * 3_800
        for start in range(0, messages, 100):
            batch = [
                letter(f"app{n % lanes}@contoso.example", n, text=text, scheduled_at=due.isoformat())
                for n in range(start, min(start + 100, messages))
            ]
            answer = await service.http.post("/v1/messages/batch", json=batch)
            assert answer.status_code == 202, answer.text
        assert datetime.now(UTC) < due, "the spool was filled too late"
        while await remote.accepted() < before + messages:
            await asyncio.sleep(0.25)
        times = sorted(post["at"] for post in (await remote.posts())[before:])
        return (messages - 1) / (times[-1] - times[0])
    finally:
        await service.stop()
        await service.close()


async def measure() -> None:
    """Interleaved rounds, then one lane against its ideal."""
    sdk, bare, own = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with emulator(home / "ms") as remote:
            for round_ in range(2):
                sdk.append(await by_sdk(remote))
                bare.append(await by_aiohttp(remote))
                place = home / f"round{round_}"
                place.mkdir()
                own.append(await by_service(remote, place, messages=MESSAGES, lanes=LANES))
        async with emulator(home / "slow", "--latency", str(LATENCY)) as remote:
            place = home / "lane"
            place.mkdir()
            lane = await by_service(remote, place, messages=ONE_LANE, lanes=1)
    print(
        f"handed over: service {median(own):.0f}/s, SDK default client {median(sdk):.0f}/s, aiohttp {median(bare):.0f}/s"
    )
    print(f"  service / SDK default client = {median(own) / median(sdk):.2f} (aim 3)")
    print(f"  service / bare aiohttp       = {median(own) / median(bare):.2f}")
    print(
        f"one mailbox, 4 in flight, {LATENCY * 1000:.0f} ms: {lane:.1f}/s = {lane / (4 / LATENCY):.3f} of ideal (aim 0.94)"
    )


if __name__ == "__main__":
    asyncio.run(measure())
