"""What a server says of itself at /metrics."""

import asyncio
import re
import urllib.request


async def samples(url: str, name: str) -> dict[str, float]:
    """The metric's values by their labels, as they are written: `code="4408"`, or nothing where it has none."""
    text = await asyncio.to_thread(read, f"{url}/metrics")
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def read(url: str, timeout: float = 10) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 (http, ours)
        text: bytes = answer.read()
    return text.decode()
