"""Leak detection: compares resource use within one process lifetime, from the warm-up to the end."""

import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from hyperwatch.soak.resource_sampler import ResourceSample

WARM_UP_SECONDS = 90.0
MIN_MEASURED_SECONDS = 120.0
MIN_IDLE_SAMPLES = 2
MAX_GROWTH_RATIO = 1.10
MAX_SERIES_POINTS = 60
MEGABYTE = 1024 * 1024


class MemoryGrowth(NamedTuple):
    """Median memory of the first and the last quarter in MB; `slope` of the least-squares fit in MB an hour.

    `fitted_ratio` is the fitted value at the end divided by that at the start.
    """

    seconds: float
    first: float
    last: float
    slope: float
    fitted_ratio: float

    @property
    def is_flat(self) -> bool:
        """A leak exceeds both limits; a backlog after a fault can leave the process with more memory once."""
        return self.last <= self.first * MAX_GROWTH_RATIO or self.fitted_ratio <= MAX_GROWTH_RATIO


def memory_growth(samples: Sequence[ResourceSample]) -> MemoryGrowth | None:
    """Growth within one lifetime; None with too few samples after the warm-up."""
    warm = [sample for sample in samples if sample.age >= WARM_UP_SECONDS]
    if not warm or warm[-1].age - warm[0].age < MIN_MEASURED_SECONDS:
        return None
    ages = [sample.age - warm[0].age for sample in warm]
    memory = [sample.memory / MEGABYTE for sample in warm]
    quarter = max(1, len(warm) // 4)
    slope, intercept = statistics.linear_regression(ages, memory)
    return MemoryGrowth(
        seconds=ages[-1],
        first=statistics.median(memory[:quarter]),
        last=statistics.median(memory[-quarter:]),
        slope=slope * 3_600,
        fitted_ratio=(intercept + slope * ages[-1]) / intercept,
    )


def memory_series(samples: Sequence[ResourceSample]) -> list[tuple[float, float]]:
    """(age in seconds, megabytes) of evenly spaced samples."""
    step = max(1, len(samples) // MAX_SERIES_POINTS)
    return [(round(sample.age, 1), round(sample.memory / MEGABYTE, 1)) for sample in samples[::step]]


def idle_medians(samples: Sequence[tuple[bool, int]]) -> tuple[float, float] | None:
    """Medians of the first and the last idle period, from samples of (is idle, count).

    None without two idle periods separated by load.
    """
    periods = [[count for _, count in group] for is_idle, group in groupby(samples, lambda item: item[0]) if is_idle]
    long_periods = [counts for counts in periods if len(counts) >= MIN_IDLE_SAMPLES]
    if len(long_periods) < 2:
        return None
    return statistics.median(long_periods[0]), statistics.median(long_periods[-1])
