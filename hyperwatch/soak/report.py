"""What a soak found: checks that hold, do not hold, or were not made, and the figures behind them."""

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

WIDTH = 140


class Check(msgspec.Struct, frozen=True):
    """`holds` is None where it was not judged; `said` is what was found, or why it was not judged."""

    name: str
    holds: bool | None
    said: str


class Broken(msgspec.Struct, frozen=True):
    """A fault: when it was done, and how long it took until it was mended."""

    at: float
    fault: str
    seconds: float


class SoakReport(msgspec.Struct, kw_only=True):
    """`seconds` is how long was sent; `is_whole` is False where it was ended before its time.

    `memory` is each process's in its last life, as (seconds since its start, megabytes).
    """

    parameters: dict[str, Any]
    machine: dict[str, Any]
    services: dict[str, str]
    seconds: float
    is_whole: bool
    figures: dict[str, Any] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    faults: list[Broken] = []
    checks: list[Check] = []

    @property
    def reasons(self) -> list[str]:
        """Why it has failed; nothing where it has not."""
        return [f"{check.name}: {check.said}" for check in self.checks if check.holds is False]


WORDS = {True: "[green]holds", False: "[red]DOES NOT HOLD", None: "[yellow]not judged"}


def show(verdict: SoakReport) -> None:
    console = Console()
    # Where nobody's terminal is asked, it is a file or a pipe.
    console.width = max(console.width, WIDTH)
    for about in (verdict.services, verdict.machine, verdict.figures):
        console.print(", ".join(f"{name}: {value}" for name, value in about.items()), style="dim", highlight=False)
    done = ", ".join(f"{broken.fault} at {broken.at:.0f} s" for broken in verdict.faults)
    console.print(f"faults: {done or 'none'}", style="dim", highlight=False)
    ended = "" if verdict.is_whole else ", ended before its time"
    table = Table(title=f"soak of {verdict.seconds / 60:.1f} minutes{ended}", title_justify="left")
    for heading in ("what must hold", "", "what was found"):
        table.add_column(heading)
    for check in verdict.checks:
        table.add_row(check.name, WORDS[check.holds], check.said)
    console.print(table)
