"""What is published: events like the venue's, of an exact size, the same for the same seed."""

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
BEGAN = datetime(2026, 1, 10, 12, tzinfo=UTC)
COINS = ("BTC", "ETH", "SOL", "HYPE", "@107", "PURR/USDC", "kPEPE", "xyz:NVDA")


class EventPayloads:
    """The frames of a run, by their number; each has exactly `size` bytes."""

    def __init__(self, seed: int, size: int) -> None:
        self._seed = seed
        self._size = size
        # Refuses a size that is too small before anything is started.
        self.stock(1)

    def event(self, seq: int) -> Event:
        frame = self._sized(seq, msgspec.json.encode)
        return Event(seq, Fact(time=_time(seq), coin=_coin(seq)), msgspec.json.encode(frame))

    def stock(self, seq: int) -> dict[str, Any]:
        """What a consumer gives to `send_json`, so that as many bytes come out of it."""
        return self._sized(seq, as_stock_does)

    def _sized(self, seq: int, encode: Callable[[Any], bytes]) -> dict[str, Any]:
        # Seeded for each, so that any part of a run can be made by itself.
        dice = random.Random(self._seed << 32 | seq)  # noqa: S311 (no secret)
        frame = _frame(seq, dice)
        missing = self._size - len(encode(frame))
        if missing < 0:
            raise CannotMeasureError(f"a frame has at least {self._size - missing} bytes: see --bytes")
        frame["data"]["raw_data"]["note"] = dice.randbytes(missing // 2 + 1).hex()[:missing]
        return frame


def as_stock_does(content: Any) -> bytes:
    """As `send_json` of Channels encodes."""
    return json.dumps(content).encode()


def _frame(seq: int, dice: random.Random) -> dict[str, Any]:
    time = isoformat(_time(seq))
    return {
        "type": "liquidation",
        "channel": CHANNEL,
        "timestamp": time,
        "seq": seq,
        "data": {
            "seq": seq,
            "tx_hash": f"0x{dice.randbytes(32).hex()}",
            "block_timestamp": time,
            "user_address": f"0x{dice.randbytes(20).hex()}",
            "coin": _coin(seq),
            "side": dice.choice(("LONG", "SHORT")),
            "liquidated_size": f"{dice.uniform(0.01, 9):.8f}",
            "liquidation_price": f"{dice.uniform(1, 90_000):.8f}",
            "raw_data": {"note": ""},
        },
    }


def _time(seq: int) -> datetime:
    return BEGAN + timedelta(milliseconds=seq)


def _coin(seq: int) -> str:
    return COINS[seq % len(COINS)]
