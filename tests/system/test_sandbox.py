"""One command, no tenant: the lines that ``posthouse sandbox`` prints work as they are."""

import asyncio
import json
import os
import re
import signal
import time

import httpx

from tests.system.harness import POSTHOUSE


async def run(line: str) -> str:
    """A line as somebody pastes it into a shell."""
    process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_the_printed_curl_line_sends_a_message_that_the_inbox_shows(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(*POSTHOUSE, "sandbox", "--port", "0", "--directory", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"HTTPS_PROXY": "http://127.0.0.1:9"},  # an organisation's; the emulator lies before it
    )
    assert process.stdout is not None
    try:
        printed = (await asyncio.wait_for(process.stdout.readuntil(b"Bad days"), 20)).decode()
        submit, look, inbox = re.findall(r"^curl (?:[^\n]*\\\n)*[^\n]*$", printed, re.MULTILINE)
        message_id = json.loads(await run(submit))["id"]
        deadline = time.monotonic() + 10
        while True:
            (found,) = json.loads(await run(look))["data"]
            if found["status"] == "sent" or time.monotonic() > deadline:
                break
        assert (found["id"], found["status"], found["transport"]) == (message_id, "sent", "graph")
        assert "Hello from posthouse" in await run(inbox)
        page = re.search(r"inbox +(\S+)", printed)
        assert page is not None
        async with httpx.AsyncClient() as browser:
            assert "Hello from posthouse" in (await browser.get(page[1])).text
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
