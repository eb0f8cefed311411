"""Clients that come, ask, subscribe, read a while and go; each checks what it sees for itself.

They come in tides: between two of them there is nobody, so that what they left behind can be seen.
"""

import asyncio
import http.client
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

# What a server may say while what it needs is away.
PASSING = {"INTERNAL_ERROR", "RATE_LIMITED"}
TIDE_SECONDS, LULL_SECONDS = 20.0, 5.0
PATIENCE = 10.0
ASKED = (
    "/api/v1/liquidations/recent?limit=20",
    "/api/v1/transactions?page_size=50",
    "/api/v1/liquidations/stats",
    "/api/v1/long-short-ratios/current",
    "/api/v1/coins",
    "/health/ready",
)
AWAY = (OSError, http.client.HTTPException, ConnectionClosed, InvalidHandshake, TimeoutError)


class SubscriptionPlan:
    """A subscription, and whether what comes is what was asked for."""

    def __init__(self, channel: str, *, is_whole: bool = False, **params: Any) -> None:
        self.channel = channel
        self.params = params
        self._is_whole = is_whole
        self._at = params.get("since", 0)

    def trouble(self, frame: dict[str, Any]) -> str:
        """What is wrong with a frame, or nothing."""
        match frame["type"]:
            case "batch":
                return next(filter(None, map(self.trouble, frame["data"])), "")
            case "snapshot":
                self._at = frame["seq"]
            case "gap":
                return f"{self.channel}: a gap: {frame}"
            case "error":
                return "" if frame["code"] in PASSING else f"{self.channel} {self.params}: {frame}"
            case _ if frame.get("channel") == self.channel:
                return self._trouble_of_fact(frame)
        return ""

    def _trouble_of_fact(self, frame: dict[str, Any]) -> str:
        before, self._at = self._at, frame["seq"]
        if self._at <= before or (self._is_whole and before and self._at != before + 1):
            return f"{self.channel} {self.params}: {self._at} came after {before}"
        if frame["data"]["coin"] not in self.params.get("coins", [frame["data"]["coin"]]):
            return f"{self.channel} {self.params}: came with {frame['data']['coin']}"
        return ""


def plan_subscription(rng: Random, head: int, epoch: str) -> SubscriptionPlan:
    """One of the ways to subscribe; `head` is of the liquidations, as REST told it."""
    here = {"since": head, "epoch": epoch}
    ways: list[tuple[str, dict[str, Any]]] = [
        ("liquidations", {"is_whole": True, **here}),
        ("liquidations", {"is_whole": True, "batch": True, **here}),
        ("transactions", {"is_whole": True, "snapshot": rng.randint(1, 100)}),
        ("transactions", {"coins": rng.sample(["BTC", "ETH", "SOL", "HYPE"], 2)}),
        ("transactions", {"filters": {"side": "LONG", "min_value_usd": "10000"}, "batch": True}),
        ("whale_activities", {"snapshot": 20, "filters": {"min_value_usd": "100000"}}),
        ("liquidation_map", {"coins": ["BTC"], "snapshot": 1}),
    ]
    channel, params = rng.choice(ways)
    return SubscriptionPlan(channel, **params)


class TransientClients:
    """`present` are there now. `came` counts visits by how they ended, `answers` what REST answered by status."""

    def __init__(self, url: str, ws_url: str, most: int, rng: Random) -> None:
        self._url = url
        self._ws_url = ws_url
        self._most = most
        self._rng = rng
        self.present = 0
        self.came: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.troubles: list[str] = []

    async def run(self) -> None:
        """Until it is cancelled, which sends away who is there."""
        while True:
            ebb = time.monotonic() + TIDE_SECONDS - LULL_SECONDS
            async with asyncio.TaskGroup() as tide:
                for _ in range(self._most):
                    tide.create_task(self._come_and_go(ebb))
            await asyncio.sleep(max(0.0, ebb + LULL_SECONDS - time.monotonic()))

    async def _come_and_go(self, ebb: float) -> None:
        """One visit after another, until the tide goes out."""
        while (left := ebb - time.monotonic()) > 0.5:
            await asyncio.sleep(self._rng.uniform(0, 1))
            self.present += 1
            try:
                self.came[await self._visit(min(left, self._rng.expovariate(0.3) + 0.2))] += 1
            except AWAY:
                self.came["cut off"] += 1
            except Exception as error:  # noqa: BLE001 (told in the verdict)
                self.troubles.append(f"a visitor failed: {error!r}")
            finally:
                self.present -= 1

    async def _visit(self, seconds: float) -> str:
        """Returns how it left."""
        await asyncio.to_thread(self._ask, self._rng.choice(ASKED))
        answer = await asyncio.to_thread(self._ask, ASKED[0])
        data = (answer or {}).get("data", {})
        wanted = (
            plan_subscription(self._rng, data["head"], data["epoch"])
            if "head" in data
            else SubscriptionPlan("transactions")
        )
        socket = await connect(self._ws_url, max_size=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=1)
        try:
            await self._subscribe(socket, wanted)
            return await self._stay(socket, wanted, seconds)
        finally:
            socket.transport.abort()

    async def _subscribe(self, socket: ClientConnection, wanted: SubscriptionPlan) -> None:
        frame = {"type": "subscribe", "channels": [wanted.channel], "params": wanted.params}
        await socket.send(json.dumps(frame))

    async def _stay(self, socket: ClientConnection, wanted: SubscriptionPlan, seconds: float) -> str:
        if self._rng.random() < 0.1:
            # Never reads what comes.
            await asyncio.sleep(seconds)
            return "mute"
        try:
            async with asyncio.timeout(seconds):
                async for text in socket:
                    if trouble := wanted.trouble(json.loads(text)):
                        self.troubles.append(trouble)
        except TimeoutError:
            pass
        if self._rng.random() < 0.3:
            return "rude"
        await socket.close()
        return "polite"

    def _ask(self, path: str) -> dict[str, Any] | None:
        """The answer of REST; None where it is away. A 500 is never right, nor anything that is no answer."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=PATIENCE) as answer:  # noqa: S310 (http, ours)
                self.answers[answer.status] += 1
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            self.answers[error.code] += 1
            if error.code != 503:
                self.troubles.append(f"{path} answered {error.code}: {error.read()[:300]!r}")
        return None
