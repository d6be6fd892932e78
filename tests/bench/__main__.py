"""All benchmarks, one after the other: ``uv run python -m tests.bench``; about ten minutes."""

import subprocess
import sys

PARTS = {
    "accept": "requests accepted durably, to an idiomatic FastAPI endpoint without spool or composing",
    "spool": "the spool alone, to raw append+fdatasync",
    "claim": "claiming from 1,000,000 waiting messages, 900,000 of them in a paused lane, to claiming from 1,000",
    "transports": "one send by our transport, to the SDK on its default client and to bare aiohttp",
    "sending": "the whole way out, to the same two, and one mailbox to its ideal",
}


def main() -> None:
    """Run them; the first that fails ends it."""
    for part, what in PARTS.items():
        print(f"# {part}: {what}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.bench.{part}"], check=True, timeout=900)


if __name__ == "__main__":
    main()
