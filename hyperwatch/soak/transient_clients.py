"""Transient clients: each sends REST requests, subscribes, reads for some seconds, disconnects, and checks its data.

They run in waves. Between two waves only the persistent clients are connected, so leaked resources become visible.
"""

import asyncio
import http.client
import json
import time
import urllib.error
from collections import Counter
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hyperwatch.harness.local_http import open_local

# Error codes that are valid while a service is unavailable.
TRANSIENT_ERROR_CODES = {"INTERNAL_ERROR", "RATE_LIMITED"}
WAVE_SECONDS, IDLE_SECONDS = 20.0, 5.0
MIN_SESSION_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
HEAD_PATH = "/api/v1/liquidations/recent?limit=20"
PATHS = (
    HEAD_PATH,
    "/api/v1/transactions?page_size=50",
    "/api/v1/liquidations/stats",
    "/api/v1/long-short-ratios/current",
    "/api/v1/coins",
    "/health/ready",
)
CONNECTION_ERRORS = (OSError, http.client.HTTPException, ConnectionClosed, InvalidHandshake, TimeoutError)


class SubscriptionPlan:
    """A subscription and the check of its frames; `has_all` means that no `seq` may be missing."""

    def __init__(self, channel: str, *, has_all: bool = False, **params: Any) -> None:
        self.channel = channel
        self.params = params
        self._has_all = has_all
        self._last_seq = params.get("since", 0)

    def violation(self, frame: dict[str, Any]) -> str:
        """Describes an invalid frame; empty for a valid one."""
        match frame["type"]:
            case "batch":
                return next(filter(None, map(self.violation, frame["data"])), "")
            case "snapshot":
                self._last_seq = frame["seq"]
            case "gap":
                return f"{self.channel}: a gap: {frame}"
            case "error":
                return "" if frame["code"] in TRANSIENT_ERROR_CODES else f"{self.channel} {self.params}: {frame}"
            case _ if frame.get("channel") == self.channel:
                return self._fact_violation(frame)
        return ""

    def _fact_violation(self, frame: dict[str, Any]) -> str:
        previous, self._last_seq = self._last_seq, frame["seq"]
        if self._last_seq <= previous or (self._has_all and previous and self._last_seq != previous + 1):
            return f"{self.channel} {self.params}: {self._last_seq} after {previous}"
        if frame["data"]["coin"] not in self.params.get("coins", [frame["data"]["coin"]]):
            return f"{self.channel} {self.params}: received {frame['data']['coin']}"
        return ""


def plan_subscription(rng: Random, head: int, epoch: str) -> SubscriptionPlan:
    """A random kind of subscription; `head` is the head of the liquidations in a REST response."""
    position = {"since": head, "epoch": epoch}
    choices: list[tuple[str, dict[str, Any]]] = [
        ("liquidations", {"has_all": True, **position}),
        ("liquidations", {"has_all": True, "batch": True, **position}),
        ("transactions", {"has_all": True, "snapshot": rng.randint(1, 100)}),
        ("transactions", {"coins": rng.sample(["BTC", "ETH", "SOL", "HYPE"], 2)}),
        ("transactions", {"filters": {"side": "LONG", "min_value_usd": "10000"}, "batch": True}),
        ("whale_activities", {"snapshot": 20, "filters": {"min_value_usd": "100000"}}),
        ("liquidation_map", {"coins": ["BTC"], "snapshot": 1}),
    ]
    channel, params = rng.choice(choices)
    return SubscriptionPlan(channel, **params)


class TransientClients:
    """`connected` is the current number; `outcomes` counts sessions by their end, `statuses` REST responses."""

    def __init__(self, url: str, ws_url: str, count: int, rng: Random) -> None:
        self._url = url
        self._ws_url = ws_url
        self._count = count
        self._rng = rng
        self.connected = 0
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.violations: list[str] = []

    async def run(self) -> None:
        """Runs until cancelled; cancellation ends the open sessions."""
        while True:
            wave_end = time.monotonic() + WAVE_SECONDS - IDLE_SECONDS
            async with asyncio.TaskGroup() as wave:
                for _ in range(self._count):
                    wave.create_task(self._run_sessions(wave_end))
            await asyncio.sleep(max(0.0, wave_end + IDLE_SECONDS - time.monotonic()))

    async def _run_sessions(self, wave_end: float) -> None:
        while (remaining := wave_end - time.monotonic()) > MIN_SESSION_SECONDS:
            await asyncio.sleep(self._rng.uniform(0, 1))
            self.connected += 1
            try:
                self.outcomes[await self._run_session(min(remaining, self._rng.expovariate(0.3) + 0.2))] += 1
            except CONNECTION_ERRORS:
                self.outcomes["connection lost"] += 1
            except Exception as error:  # noqa: BLE001 (included in the report)
                self.violations.append(f"a session failed: {error!r}")
            finally:
                self.connected -= 1

    async def _run_session(self, seconds: float) -> str:
        """Returns the outcome."""
        await asyncio.to_thread(self._get, self._rng.choice(PATHS))
        body = await asyncio.to_thread(self._get, HEAD_PATH)
        data = (body or {}).get("data", {})
        plan = (
            plan_subscription(self._rng, data["head"], data["epoch"])
            if "head" in data
            else SubscriptionPlan("transactions")
        )
        socket = await connect(
            self._ws_url, max_size=None, ping_interval=None, open_timeout=TIMEOUT_SECONDS, close_timeout=1, proxy=None
        )
        try:
            await self._subscribe(socket, plan)
            return await self._receive(socket, plan, seconds)
        finally:
            socket.transport.abort()

    async def _subscribe(self, socket: ClientConnection, plan: SubscriptionPlan) -> None:
        frame = {"type": "subscribe", "channels": [plan.channel], "params": plan.params}
        await socket.send(json.dumps(frame))

    async def _receive(self, socket: ClientConnection, plan: SubscriptionPlan, seconds: float) -> str:
        if self._rng.random() < 0.1:
            # Reads nothing: a client that stalls.
            await asyncio.sleep(seconds)
            return "stalled"
        try:
            async with asyncio.timeout(seconds):
                async for text in socket:
                    if violation := plan.violation(json.loads(text)):
                        self.violations.append(violation)
        except TimeoutError:
            pass
        if self._rng.random() < 0.3:
            return "aborted"
        await socket.close()
        return "closed"

    def _get(self, path: str) -> dict[str, Any] | None:
        """The body of a REST response; None for a 503, which is valid. Records any other error as a violation."""
        try:
            with open_local(self._url + path, timeout=TIMEOUT_SECONDS) as response:
                self.statuses[response.status] += 1
                body: dict[str, Any] = json.load(response)
                return body
        except urllib.error.HTTPError as error:
            self.statuses[error.code] += 1
            if error.code != 503:
                self.violations.append(f"{path} responded with {error.code}: {error.read()[:300]!r}")
        return None
