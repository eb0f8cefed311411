"""Whether what a process holds stays what it was: judged within one life, from its warm-up to its end."""

import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from hyperwatch.soak.resource_sampler import Sample

WARM_SECONDS = 90.0
LEAST_SECONDS = 120.0
LEAST_LOOKS = 2
MOST_GROWTH = 1.10
POINTS = 60
MEGABYTE = 1024 * 1024


class Growth(NamedTuple):
    """Megabytes at the median of the first and of the last quarter; `slope` of the least squares, in MB an hour.

    `fitted` is what that line says of the end, divided by what it says of the start.
    """

    seconds: float
    first: float
    last: float
    slope: float
    fitted: float

    @property
    def is_flat(self) -> bool:
        """A backlog after a fault may need room that is kept: what leaks, both show."""
        return self.last <= self.first * MOST_GROWTH or self.fitted <= MOST_GROWTH


def growth(samples: Sequence[Sample]) -> Growth | None:
    """Of one life; None where too little of it comes after the warm-up to say."""
    warm = [sample for sample in samples if sample.age >= WARM_SECONDS]
    if not warm or warm[-1].age - warm[0].age < LEAST_SECONDS:
        return None
    ages = [sample.age - warm[0].age for sample in warm]
    memory = [sample.memory / MEGABYTE for sample in warm]
    quarter = max(1, len(warm) // 4)
    slope, start = statistics.linear_regression(ages, memory)
    return Growth(
        seconds=ages[-1],
        first=statistics.median(memory[:quarter]),
        last=statistics.median(memory[-quarter:]),
        slope=slope * 3_600,
        fitted=(start + slope * ages[-1]) / start,
    )


def series(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """(age, megabytes), some points of them."""
    step = max(1, len(samples) // POINTS)
    return [(round(sample.age, 1), round(sample.memory / MEGABYTE, 1)) for sample in samples[::step]]


def ends(looks: Sequence[tuple[bool, int]]) -> tuple[float, float] | None:
    """The medians of the first and of the last quiet time, from looks that say whether it was quiet.

    None where there were no two of them, with a load in between.
    """
    times = [[number for _, number in group] for is_quiet, group in groupby(looks, lambda look: look[0]) if is_quiet]
    long = [numbers for numbers in times if len(numbers) >= LEAST_LOOKS]
    return (statistics.median(long[0]), statistics.median(long[-1])) if len(long) > 1 else None
