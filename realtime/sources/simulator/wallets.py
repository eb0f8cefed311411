"""Who trades: wallets whose addresses come from the seed, so that a restarted demo has the same people."""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from random import Random

WHALES = 5
WHALE_CAPITAL = 12_000_000


@dataclass(slots=True, eq=False)
class Wallet:
    """`balance` is what is not bound as margin; `boldness` (0 to 1) how much of the leverage it uses."""

    address: str
    capital: Decimal
    balance: Decimal
    boldness: float


def address(seed: int, name: str) -> str:
    return "0x" + blake2b(f"hyperwatch market {seed} {name}".encode(), digest_size=20).hexdigest()


def make_wallets(rng: Random, seed: int, count: int) -> list[Wallet]:
    """The richest come first: a few whales, then many of all sizes."""
    whales = min(WHALES, count)
    capitals = [WHALE_CAPITAL // (rank + 1) for rank in range(whales)]
    capitals += [min(600_000, max(500, int(rng.lognormvariate(9.8, 1.3)))) for _ in range(count - whales)]
    return [_wallet(seed, number, capital, rng.random()) for number, capital in enumerate(capitals)]


def make_vault(seed: int) -> Wallet:
    """The liquidator of last resort. Its collateral is all that it has, so nothing liquidates it."""
    return Wallet(address(seed, "vault"), Decimal(10**9), Decimal(10**9), 0.0)


def _wallet(seed: int, number: int, capital: int, boldness: float) -> Wallet:
    return Wallet(address(seed, f"wallet {number}"), Decimal(capital), Decimal(capital), boldness)
