"""Report of a soak: checks that passed, failed or were skipped, with the figures behind them."""

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

MIN_WIDTH = 140


class Check(msgspec.Struct, frozen=True):
    """`holds` is None for a skipped check; `detail` is the finding, or the reason for the skip."""

    name: str
    holds: bool | None
    detail: str


class InjectedFault(msgspec.Struct, frozen=True):
    """A fault with its start, in seconds since the start of the traffic, and its duration."""

    at: float
    fault: str
    seconds: float


class SoakReport(msgspec.Struct, kw_only=True):
    """`seconds` is the duration of the traffic; `is_whole` is False after an early stop.

    `memory` covers the last lifetime of each process, as (seconds since its start, megabytes).
    """

    parameters: dict[str, Any]
    machine: dict[str, Any]
    services: dict[str, str]
    seconds: float
    is_whole: bool
    figures: dict[str, Any] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    faults: list[InjectedFault] = []
    checks: list[Check] = []

    @property
    def reasons(self) -> list[str]:
        """The failed checks as text; empty for a passed soak."""
        return [f"{check.name}: {check.detail}" for check in self.checks if check.holds is False]


RESULT_LABELS = {True: "[green]passed", False: "[red]FAILED", None: "[yellow]skipped"}


def show(report: SoakReport) -> None:
    console = Console()
    # Rich assumes 80 columns for a file or a pipe.
    console.width = max(console.width, MIN_WIDTH)
    for section in (report.services, report.machine, report.figures):
        console.print(", ".join(f"{name}: {value}" for name, value in section.items()), style="dim", highlight=False)
    faults = ", ".join(f"{injected.fault} at {injected.at:.0f} s" for injected in report.faults)
    console.print(f"faults: {faults or 'none'}", style="dim", highlight=False)
    early = "" if report.is_whole else ", stopped early"
    table = Table(title=f"soak of {report.seconds / 60:.1f} minutes{early}", title_justify="left")
    for heading in ("check", "result", "detail"):
        table.add_column(heading)
    for check in report.checks:
        table.add_row(check.name, RESULT_LABELS[check.holds], check.detail)
    console.print(table)
