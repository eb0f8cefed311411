"""Wallets of the simulator, with addresses derived from the seed: a restarted demo has the same wallets."""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from random import Random

WHALE_COUNT = 5
WHALE_CAPITAL = 12_000_000


@dataclass(slots=True, eq=False)
class Wallet:
    """`balance` excludes margin in use; `risk_appetite` (0 to 1) is the share of the maximum leverage used."""

    address: str
    capital: Decimal
    balance: Decimal
    risk_appetite: float


def address(seed: int, name: str) -> str:
    return "0x" + blake2b(f"hyperwatch market {seed} {name}".encode(), digest_size=20).hexdigest()


def make_wallets(rng: Random, seed: int, count: int) -> list[Wallet]:
    """Wallets in order: whales by descending capital, then wallets with log-normal capital."""
    whales = min(WHALE_COUNT, count)
    capitals = [WHALE_CAPITAL // (rank + 1) for rank in range(whales)]
    capitals += [min(600_000, max(500, int(rng.lognormvariate(9.8, 1.3)))) for _ in range(count - whales)]
    return [_wallet(seed, number, capital, rng.random()) for number, capital in enumerate(capitals)]


def make_vault(seed: int) -> Wallet:
    """The vault that takes over backstop liquidations. Its own positions have no liquidation price."""
    return Wallet(address(seed, "vault"), Decimal(10**9), Decimal(10**9), 0.0)


def _wallet(seed: int, number: int, capital: int, risk_appetite: float) -> Wallet:
    return Wallet(address(seed, f"wallet {number}"), Decimal(capital), Decimal(capital), risk_appetite)
