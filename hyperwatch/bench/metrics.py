"""Reads /metrics of a server."""

import asyncio
import re
import urllib.request


async def samples(url: str, name: str) -> dict[str, float]:
    """Values of a metric by its labels in text form: `code="4408"`, empty without labels."""
    text = await asyncio.to_thread(read, f"{url}/metrics")
    lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in lines}


def read(url: str, timeout: float = 10) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 (http, own port)
        text: bytes = response.read()
    return text.decode()
