"""Persistent clients: each verifies that it receives every fact of each event channel once and in order."""

import asyncio
from itertools import chain
from typing import Any

from realtime.client import Client, Fact, Gap, Pauses, StreamError

EVENT_CHANNELS = ("transactions", "liquidations", "whale_activities")
STATE_CHANNEL = "long_short_ratios"
MAX_VIOLATIONS = 20
# The client replaces the connection to a frozen server after twice this time.
KEEPALIVE_SECONDS = 5.0


class StrictClient(Client):
    """Counts duplicate facts, which the base class discards silently."""

    duplicates = 0

    def _handle_event(self, wanted: Any, frame: dict[str, Any]) -> None:
        is_fact = frame["type"] not in ("gap", "snapshot")
        if is_fact and wanted.position is not None and frame["seq"] <= wanted.position.seq:
            self.duplicates += 1
        super()._handle_event(wanted, frame)


class PersistentClient:
    """`last_seqs` holds the last `seq` by channel, `hashes` the hash chain of all facts up to it (`chain_hash`).

    `latest_states` maps each coin to the time and `seq` of its latest state.
    """

    def __init__(self, url: str, number: int) -> None:
        self.name = f"client {number}"
        self._url = url
        self._is_batch = number % 2 == 0
        self.last_seqs = dict.fromkeys(EVENT_CHANNELS, 0)
        self.hashes = dict.fromkeys(EVENT_CHANNELS, 0)
        self.latest_states: dict[str, tuple[str, int]] = {}
        self.violations: list[str] = []
        self.facts = 0
        self.duplicates = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        async with StrictClient(self._url, alive=KEEPALIVE_SECONDS, pauses=Pauses(longest=2.0)) as client:
            try:
                for channel in chain(EVENT_CHANNELS, [STATE_CHANNEL]):
                    await client.subscribe(channel, since=0, batch=self._is_batch)
                async for event in client:
                    self._handle(event)
                    self.duplicates = client.duplicates
            except StreamError as error:
                self._report(f"ended: {error!r}")
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 (included in the report)
                self._report(f"failed: {error!r}")

    def _handle(self, event: object) -> None:
        match event:
            case Fact(channel=channel, seq=seq, data=data) if channel in self.last_seqs:
                self._handle_fact(channel, seq, data)
            case Fact(timestamp=time, seq=seq, data=data):
                self._handle_state(data["coin"], time, seq)
            case Gap(channel=channel, missing_from=first, missing_to=last):
                self._report(f"{channel}: a gap from {first} to {last}")

    def _handle_fact(self, channel: str, seq: int, data: dict[str, Any]) -> None:
        if seq != self.last_seqs[channel] + 1:
            self._report(f"{channel}: {seq} after {self.last_seqs[channel]}")
        self.facts += 1
        self.last_seqs[channel] = seq
        self.hashes[channel] = chain_hash(self.hashes[channel], seq, data["tx_hash"], data["coin"])

    def _handle_state(self, coin: str, time: str, seq: int) -> None:
        latest, _ = self.latest_states.get(coin, ("", 0))
        if time <= latest:
            self._report(f"{STATE_CHANNEL}: {coin} at {time} after {latest}")
        self.latest_states[coin] = (time, seq)

    def _report(self, violation: str) -> None:
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(f"{self.name}: {violation}")


def chain_hash(previous: int, seq: int, tx_hash: str, coin: str) -> int:
    """Extends a hash chain by one fact: equal hashes mean equal facts with equal `seq` in equal order."""
    return hash((previous, seq, tx_hash, coin))
