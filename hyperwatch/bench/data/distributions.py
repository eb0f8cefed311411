"""Coins, wallets, hashes and values of a filled database, by number and seed.

The same formulas exist in SQL, which generates the rows, and in Python, which generates the queries.
Coins and wallets are skewed as on the exchange, values have a heavy tail. A part of each day's rows falls into a
crash of a few minutes at its end. Twenty coins and twenty wallets are rare: two rows in a million each. One of their
rows is among the oldest, so each exists at any size.
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
# First numbers of the rare coins and wallets.
RARE_COIN = 1_000
RARE_WALLET = 60_000

FIRST_BLOCK = 800_000_000

MIN_VALUE = 100
# Of the distribution of values.
PARETO_EXPONENT = 1.1


def coin(number: int) -> str:
    """Number 1 is the most traded coin."""
    return f"RARE{number - RARE_COIN:02}" if number >= RARE_COIN else f"C{number:03}"


def wallet(number: int) -> str:
    """Number 0 is the most active wallet."""
    return f"0x{_md5(f'wallet {number}')}{number:08x}"


def tx_hash(seed: int, number: int) -> str:
    """Shared by fill `number` * 3 and the next two; in the exchange's format (hyperwatch/db/fields.py)."""
    digest = _md5(f"{seed} {number}")
    return f"0x{digest[:20]}04{FIRST_BLOCK + number:08x}02020000{_md5(f'{number} {seed}')[:26]}"


def value_above(share: float) -> float:
    """The value that this share of the rows exceeds."""
    return float(MIN_VALUE * share ** (-1 / PARETO_EXPONENT))


def rows_sql(seed: int, first: str, last: str, rows: int) -> str:
    """A sub-select of rows `first` to `last` of `rows`: (n, time, coin, wallet, price, value, dice).

    `dice` is uniform in [0, 1), for the other columns.
    """
    rare = f"((n / 50000 + n) % {RARE})"
    return f"""(
SELECT n, time, address AS wallet, price, value, dice,
       CASE WHEN k >= {RARE_COIN} THEN 'RARE' || lpad((k - {RARE_COIN})::text, 2, '0')
            ELSE 'C' || lpad(k::text, 3, '0') END AS coin
FROM (
    SELECT n, '0x' || md5('wallet ' || w) || lpad(to_hex(w), 8, '0') AS address, k, dice,
           date_trunc('milliseconds', '{START:%Y-%m-%d %H:%M}+00'::timestamptz
               + make_interval(days => floor(day)::int, secs => {_second_of_day_sql("(day - floor(day))")})) AS time,
           round((100000.0 / k ^ 2 * (0.9 + 0.2 * {_uniform_sql(seed, 4)}))::numeric, 8) + 0.00000001 AS price, value
    FROM (
        SELECT n, {DAYS} * (n - 1)::float8 / {rows} AS day, {_uniform_sql(seed, 5)} AS dice,
               CASE WHEN n % 50000 = 17 OR n <= {RARE} THEN {RARE_COIN} + {rare}
                    ELSE floor(exp(ln({COINS + 1}) * {_uniform_sql(seed, 1)})) END::int AS k,
               CASE WHEN n % 50000 = 29 OR n BETWEEN {RARE + 1} AND {2 * RARE} THEN {RARE_WALLET} + {rare}
                    ELSE floor({WALLETS} * {_uniform_sql(seed, 2)} ^ 3) END::int AS w,
               round(({MIN_VALUE} * (1 - {_uniform_sql(seed, 3)}) ^ {-1 / PARETO_EXPONENT})::numeric, 8) AS value
        FROM generate_series({first}::bigint, {last}::bigint) n OFFSET 0
    ) numbers OFFSET 0
) named)"""


def _uniform_sql(seed: int, index: int) -> str:
    """Uniform in [0, 1): the lower 52 bits of a hash of `n`."""
    return f"((hashint8extended(n, {seed * 16 + index}) & 4503599627370495) / 4503599627370496.0::float8)"


def _second_of_day_sql(share: str) -> str:
    """Second of the day by which this share of its rows has occurred."""
    calm, calm_share = 86_400 - CRASH_SECONDS, 1 - CRASH_SHARE
    return (
        f"CASE WHEN {share} < {calm_share} THEN {share} / {calm_share} * {calm} "
        f"ELSE {calm} + ({share} - {calm_share}) / {CRASH_SHARE} * {CRASH_SECONDS} END"
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
