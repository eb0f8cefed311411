"""Events to publish: like those of the exchange, of an exact size, deterministic by seed."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hyperwatch.bench import CannotMeasureError
from hyperwatch.formats import isoformat
from realtime.protocol.frames import Event
from realtime.streams import Fact

CHANNEL = "liquidations"
START_TIME = datetime(2026, 1, 10, 12, tzinfo=UTC)
COINS = ("BTC", "ETH", "SOL", "HYPE", "@107", "PURR/USDC", "kPEPE", "xyz:NVDA")


class EventPayloads:
    """The frames of a run, by seq; each has exactly `size` bytes."""

    def __init__(self, seed: int, size: int) -> None:
        self._seed = seed
        self._size = size
        # Rejects a size that is too small before a process is started.
        self.channels_content(1)

    def event(self, seq: int) -> Event:
        frame = self._sized(seq, msgspec.json.encode)
        return Event(seq, Fact(time=_time(seq), coin=_coin(seq)), msgspec.json.encode(frame))

    def channels_content(self, seq: int) -> dict[str, Any]:
        """The argument of `send_json` in Channels that encodes to `size` bytes."""
        return self._sized(seq, encode_like_channels)

    def _sized(self, seq: int, encode: Callable[[Any], bytes]) -> dict[str, Any]:
        # Seeded by seq, so any part of a run can be generated alone.
        rng = random.Random(self._seed << 32 | seq)  # noqa: S311 (no secret)
        frame = _frame(seq, rng)
        padding = self._size - len(encode(frame))
        if padding < 0:
            raise CannotMeasureError(f"--bytes is too small: a frame has at least {self._size - padding} bytes")
        frame["data"]["raw_data"]["note"] = rng.randbytes(padding // 2 + 1).hex()[:padding]
        return frame


def encode_like_channels(content: Any) -> bytes:
    """The encoding of `send_json` in Channels."""
    return json.dumps(content).encode()


def _frame(seq: int, rng: random.Random) -> dict[str, Any]:
    time = isoformat(_time(seq))
    return {
        "type": "liquidation",
        "channel": CHANNEL,
        "timestamp": time,
        "seq": seq,
        "data": {
            "seq": seq,
            "tx_hash": f"0x{rng.randbytes(32).hex()}",
            "block_timestamp": time,
            "user_address": f"0x{rng.randbytes(20).hex()}",
            "coin": _coin(seq),
            "side": rng.choice(("LONG", "SHORT")),
            "liquidated_size": f"{rng.uniform(0.01, 9):.8f}",
            "liquidation_price": f"{rng.uniform(1, 90_000):.8f}",
            "raw_data": {"note": ""},
        },
    }


def _time(seq: int) -> datetime:
    return START_TIME + timedelta(milliseconds=seq)


def _coin(seq: int) -> str:
    return COINS[seq % len(COINS)]
