"""The report of a benchmark: a table of figures and targets, or JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

import msgspec
from rich.console import Console, JustifyMethod
from rich.table import Table

MIN_WIDTH = 140
COLUMNS: dict[str, JustifyMethod] = {
    "": "left",
    "figure": "left",
    "median": "right",
    "unit": "left",
    "runs": "right",
    "target": "left",
}


@dataclass(frozen=True)
class AtLeast:
    limit: float
    sign: ClassVar[str] = "≥"

    def holds(self, value: float) -> bool:
        return value >= self.limit


@dataclass(frozen=True)
class AtMost:
    limit: float
    sign: ClassVar[str] = "≤"

    def holds(self, value: float) -> bool:
        return value <= self.limit


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """`value` is the median of `runs`, or the ratio of two medians; `is_reached` is None without a target."""

    group: str
    name: str
    value: float
    unit: str = ""
    runs: list[float] = []
    target: str = ""
    is_reached: bool | None = None


class Report(msgspec.Struct, kw_only=True):
    """`checks` must hold for the figures to be valid."""

    bench: str
    parameters: dict[str, Any]
    machine: dict[str, Any]
    services: dict[str, str]
    figures: list[Figure] = []
    checks: dict[str, Any] = {}
    runs: list[Any] = []


def figure(
    group: str, name: str, values: Sequence[float], unit: str = "", target: AtLeast | AtMost | None = None
) -> Figure:
    return _figure(group, name, statistics.median(values), list(values), unit, target)


def ratio(
    group: str,
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    unit: str = "x",
    target: AtLeast | AtMost | None = None,
) -> Figure:
    """Ratio of the medians; `runs` are the ratios of each round."""
    value = statistics.median(above) / statistics.median(below)
    return _figure(group, name, value, [one / other for one, other in zip(above, below, strict=True)], unit, target)


def series(
    group: str, name: str, values: Sequence[float], unit: str = "", target: AtLeast | AtMost | None = None
) -> Figure:
    """Values by size; `value` is that of the last, the largest."""
    return _figure(group, name, values[-1], list(values), unit, target)


def ratio_of_ends(group: str, name: str, values: Sequence[float], target: AtLeast | AtMost) -> Figure:
    """Value of the largest size divided by that of the smallest."""
    return _figure(group, name, values[-1] / values[0], [], "x", target)


def _figure(
    group: str, name: str, value: float, runs: list[float], unit: str, target: AtLeast | AtMost | None
) -> Figure:
    if target is None:
        return Figure(group, name, value, unit, runs)
    return Figure(group, name, value, unit, runs, f"{target.sign} {target.limit:g} {unit}", target.holds(value))


def show(report: Report) -> None:
    console = Console()
    # A file or a pipe reports 80 columns.
    console.width = max(console.width, MIN_WIDTH)
    for facts in (report.services, report.machine, report.checks):
        console.print(", ".join(f"{name}: {value}" for name, value in facts.items()), style="dim", highlight=False)
    table = Table(title=f"bench {report.bench}", title_justify="left")
    for heading, side in COLUMNS.items():
        table.add_column(heading, justify=side)
    for group, figures in groupby(report.figures, lambda figure: figure.group):
        table.add_section()
        for number, figure in enumerate(figures):
            table.add_row("" if number else group, *_cells(figure))
    console.print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    runs = "  ".join(map(_number, figure.runs)) if len(figure.runs) > 1 else ""
    verdict = {None: "", True: f"[green]{figure.target}: reached", False: f"[red]{figure.target}: NOT reached"}
    return figure.name, _number(figure.value), figure.unit, runs, verdict[figure.is_reached]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
