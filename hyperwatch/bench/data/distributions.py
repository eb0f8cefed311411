"""Who and what a filled database knows, drawn by number and seed: the same in SQL, which makes the rows, and here,
where a request asks for them.

Coins and wallets are skewed as the venue's are, values have a heavy tail, and a part of each day's rows falls into a
crash of a few minutes at its end. Twenty coins and twenty wallets are rare: two rows in a million each, and one in
the oldest rows, so that they are known at any size.
"""

import hashlib
from datetime import UTC, datetime, timedelta

END = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAYS = 30
START = END - timedelta(days=DAYS)
CRASH_SECONDS = 300
CRASH_SHARE = 0.2

COINS = 300
WALLETS = 50_000
RARE = 20
# From here on their numbers are those of the rare ones.
RARE_COIN = 1_000
RARE_WALLET = 60_000

FIRST_BLOCK = 800_000_000

LEAST_VALUE = 100
# Of the values' Pareto distribution.
TAIL = 1.1


def coin(number: int) -> str:
    """Number 1 is the one that is traded most."""
    return f"RARE{number - RARE_COIN:02}" if number >= RARE_COIN else f"C{number:03}"


def wallet(number: int) -> str:
    """Number 0 is the busiest."""
    return f"0x{_md5(f'wallet {number}')}{number:08x}"


def tx_hash(seed: int, number: int) -> str:
    """Of the transactions `number` * 3 and the two behind it; made as the venue's are (hyperwatch/db/fields.py)."""
    drawn = _md5(f"{seed} {number}")
    return f"0x{drawn[:20]}04{FIRST_BLOCK + number:08x}02020000{_md5(f'{number} {seed}')[:26]}"


def value_above(share: float) -> float:
    """Which value this share of the rows is above."""
    return float(LEAST_VALUE * share ** (-1 / TAIL))


def drawn(seed: int, first: str, last: str, rows: int) -> str:
    """A sub-select of rows (n, time, coin, wallet, price, value, dice), the numbers from `first` to `last` of `rows`.

    `dice` is from 0 to 1, for what else is to be decided.
    """
    rare = f"((n / 50000 + n) % {RARE})"
    return f"""(
SELECT n, time, address AS wallet, price, value, dice,
       CASE WHEN k >= {RARE_COIN} THEN 'RARE' || lpad((k - {RARE_COIN})::text, 2, '0')
            ELSE 'C' || lpad(k::text, 3, '0') END AS coin
FROM (
    SELECT n, '0x' || md5('wallet ' || w) || lpad(to_hex(w), 8, '0') AS address, k, dice,
           date_trunc('milliseconds', '{START:%Y-%m-%d %H:%M}+00'::timestamptz
               + make_interval(days => floor(day)::int, secs => {_seconds("(day - floor(day))")})) AS time,
           round((100000.0 / k ^ 2 * (0.9 + 0.2 * {_dice(seed, 4)}))::numeric, 8) + 0.00000001 AS price, value
    FROM (
        SELECT n, {DAYS} * (n - 1)::float8 / {rows} AS day, {_dice(seed, 5)} AS dice,
               CASE WHEN n % 50000 = 17 OR n <= {RARE} THEN {RARE_COIN} + {rare}
                    ELSE floor(exp(ln({COINS + 1}) * {_dice(seed, 1)})) END::int AS k,
               CASE WHEN n % 50000 = 29 OR n BETWEEN {RARE + 1} AND {2 * RARE} THEN {RARE_WALLET} + {rare}
                    ELSE floor({WALLETS} * {_dice(seed, 2)} ^ 3) END::int AS w,
               round(({LEAST_VALUE} * (1 - {_dice(seed, 3)}) ^ {-1 / TAIL})::numeric, 8) AS value
        FROM generate_series({first}::bigint, {last}::bigint) n OFFSET 0
    ) numbers OFFSET 0
) named)"""


def _dice(seed: int, which: int) -> str:
    return f"((hashint8extended(n, {seed * 16 + which}) & 4503599627370495) / 4503599627370496.0::float8)"


def _seconds(share: str) -> str:
    """Of a day, when this share of its rows is over."""
    calm, left = 86_400 - CRASH_SECONDS, 1 - CRASH_SHARE
    return (
        f"CASE WHEN {share} < {left} THEN {share} / {left} * {calm} "
        f"ELSE {calm} + ({share} - {left}) / {CRASH_SHARE} * {CRASH_SECONDS} END"
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
