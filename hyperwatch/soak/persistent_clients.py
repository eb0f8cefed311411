"""Clients that stay: each sees every fact of each event channel once and in order, or says what was wrong."""

import asyncio
from itertools import chain
from typing import Any

from realtime.client import Client, Fact, Gap, Pauses, StreamError

EVENTS = ("transactions", "liquidations", "whale_activities")
STATE = "long_short_ratios"
TROUBLES_KEPT = 20
# A server that is frozen is left for a new connection after twice as long.
ALIVE_SECONDS = 5.0


class StrictClient(Client):
    """What a client otherwise passes over in silence is counted: a fact that it has already."""

    repeats = 0

    def _handle_event(self, wanted: Any, frame: dict[str, Any]) -> None:
        is_fact = frame["type"] not in ("gap", "snapshot")
        if is_fact and wanted.position is not None and frame["seq"] <= wanted.position.seq:
            self.repeats += 1
        super()._handle_event(wanted, frame)


class PersistentClient:
    """`places` are the newest `seq` by channel, `chains` what all facts up to there come to (`link`).

    `newest` is the `seq` of each coin's newest state; `connections` counts how often it had to connect.
    """

    def __init__(self, url: str, number: int) -> None:
        self.name = f"client {number}"
        self._url = url
        self._is_batch = number % 2 == 0
        self.places = dict.fromkeys(EVENTS, 0)
        self.chains = dict.fromkeys(EVENTS, 0)
        self.newest: dict[str, tuple[str, int]] = {}
        self.troubles: list[str] = []
        self.facts = 0
        self.repeats = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        async with StrictClient(self._url, alive=ALIVE_SECONDS, pauses=Pauses(longest=2.0)) as client:
            try:
                for channel in chain(EVENTS, [STATE]):
                    await client.subscribe(channel, since=0, batch=self._is_batch)
                async for event in client:
                    self._take(event)
                    self.repeats = client.repeats
            except StreamError as error:
                self._complain(f"gave up: {error!r}")
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 (told in the verdict)
                self._complain(f"failed: {error!r}")

    def _take(self, event: object) -> None:
        match event:
            case Fact(channel=channel, seq=seq, data=data) if channel in self.places:
                self._take_fact(channel, seq, data)
            case Fact(timestamp=time, seq=seq, data=data):
                self._take_state(data["coin"], time, seq)
            case Gap(channel=channel, missing_from=first, missing_to=last):
                self._complain(f"{channel}: a gap from {first} to {last}")

    def _take_fact(self, channel: str, seq: int, data: dict[str, Any]) -> None:
        if seq != self.places[channel] + 1:
            self._complain(f"{channel}: {seq} came after {self.places[channel]}")
        self.facts += 1
        self.places[channel] = seq
        self.chains[channel] = link(self.chains[channel], seq, data["tx_hash"], data["coin"])

    def _take_state(self, coin: str, time: str, seq: int) -> None:
        known, _ = self.newest.get(coin, ("", 0))
        if time <= known:
            self._complain(f"{STATE}: {coin} at {time} came after {known}")
        self.newest[coin] = (time, seq)

    def _complain(self, trouble: str) -> None:
        if len(self.troubles) < TROUBLES_KEPT:
            self.troubles.append(f"{self.name}: {trouble}")


def link(chained: int, seq: int, tx_hash: str, coin: str) -> int:
    """One more fact at the end of a chain: equal chains are the same facts under the same numbers, in one order."""
    return hash((chained, seq, tx_hash, coin))
