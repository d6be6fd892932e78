"""Messages handed over per second: our Graph transport, Microsoft's SDK on its default client, a bare aiohttp loop.

``python -m tests.bench.transports``; the emulator runs as its own process; 16 in flight, 4 KB each; three rounds of
2 s a path, so about 20 s in all. Read the ratios, not the rates.
"""

import asyncio
import base64
import contextlib
import json
import os
import ssl
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from statistics import median

import aiohttp
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_request_adapter import GraphRequestAdapter

from posthouse.message import Bytes, Content
from posthouse.outcome import Sent
from posthouse.ports import Dispatch
from posthouse.transports.tokens import ClientSecret, EntraOptions, TokenSource, credential_factory
from tests.contract.transport_kit import GRAPH_SCOPE, Notes, SystemClock, graph_to, message

IN_FLIGHT = 16
SECONDS = 2.0
ROUNDS = 3
HEADER = b"From: alerts@contoso.com\r\nTo: bob@example.org\r\nSubject: bench\r\nMessage-ID: <1@posthouse.test>\r\n"
BODY = (b"x" * 76 + b"\r\n") * 52
Send = Callable[[], Awaitable[bool]]


@contextlib.asynccontextmanager
async def emulator(directory: str) -> AsyncGenerator[dict[str, str]]:
    """The coordinates of an emulator in its own process."""
    program = (sys.executable, "-m", "posthouse.sandbox.emulator", "--directory", directory)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("the emulator has no output")
        yield json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def rate(send: Send) -> float:
    """Messages a second with 16 in flight; raises RuntimeError where one is not accepted."""
    end, count = time.perf_counter() + SECONDS, 0

    async def loop() -> None:
        nonlocal count
        while time.perf_counter() < end:
            if not await send():
                raise RuntimeError("not accepted")
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - start)


def by_sdk(adapter: GraphRequestAdapter) -> Send:
    """The SDK as its documentation uses it, in the MIME form."""
    native = ResponseHandlerOption(NativeResponseHandler())

    async def send() -> bool:
        request = RequestInformation(Method.POST, "{+baseurl}/users/{user}/sendMail", {"user": "alerts@contoso.com"})
        request.set_stream_content(base64.b64encode(HEADER + b"\r\n" + BODY), "text/plain")
        request.add_request_options([native])
        response: object = await adapter.send_no_response_content_async(request, {})
        return getattr(response, "status_code", None) == 202

    return send


async def measure(at: dict[str, str]) -> dict[str, list[float]]:
    """The rates of every path, round by round."""
    ca_file = Path(at["ca_file"])
    options = EntraOptions(
        tenant_id=at["tenant_id"],
        client_id=at["client_id"],
        credential=ClientSecret(lambda: at["client_secret"]),
        authority=at["authority"],
        own_authority=True,
        ca_file=str(ca_file),
    )
    tokens = TokenSource(factory=credential_factory(options), scopes=(GRAPH_SCOPE,), clock=SystemClock())
    token = (await tokens.get_token(GRAPH_SCOPE)).token
    content, one = Content(HEADER, Bytes(BODY)), message()
    context = ssl.create_default_context(cafile=ca_file)
    url = f"{at['graph_url']}/users/alerts@contoso.com/sendMail"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}

    async with (
        tokens,
        graph_to(at["graph_url"], tokens, ca_file) as graph,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):

        async def ours() -> bool:
            dispatch = Dispatch(
                message=one,
                content=content,
                attempt_id=str(uuid.uuid4()),
                account=one.account,
                refuse_deferred=False,
                note_refused=Notes().note,
                note_draft=Notes().note_draft,
            )
            return isinstance(await graph.send(dispatch), Sent)

        async def bare() -> bool:
            data = base64.b64encode(HEADER + b"\r\n" + BODY)
            async with session.post(url, data=data, headers=headers) as answer:
                await answer.read()
                return answer.status == 202

        adapter = GraphRequestAdapter(AzureIdentityAuthenticationProvider(tokens, scopes=[GRAPH_SCOPE]))
        adapter.base_url = at["graph_url"]
        paths: dict[str, Send] = {"ours": ours, "sdk": by_sdk(adapter), "aiohttp": bare}
        rates: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(ROUNDS):
            for name, send in paths.items():
                rates[name].append(await rate(send))
    return rates


async def main() -> None:
    """Print the medians and their ratios."""
    with tempfile.TemporaryDirectory() as directory:
        async with emulator(directory) as at:
            os.environ["SSL_CERT_FILE"] = at["ca_file"]  # the SDK's default client can be told of a CA in no other way
            rates = await measure(at)
    middle = {name: median(values) for name, values in rates.items()}
    for name, value in middle.items():
        print(f"{name:8} {value:7.0f} messages/s")
    print(f"ours / SDK on its default client: {middle['ours'] / middle['sdk']:.2f}")
    print(f"ours / bare aiohttp:              {middle['ours'] / middle['aiohttp']:.2f}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(), 60))
