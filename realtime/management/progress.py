"""Progress of a long command: a bar on a terminal, otherwise a line every few seconds."""

import time
from types import TracebackType
from typing import Protocol, Self

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

BAR_INTERVAL_SECONDS = 0.1
LINE_INTERVAL_SECONDS = 5.0


class Display(Protocol):
    """Shows processed bytes, sent messages and messages per second."""

    seconds: float

    def show(self, done: int, messages: int, rate: float) -> None: ...
    def close(self) -> None: ...


class ProgressBar:
    seconds = BAR_INTERVAL_SECONDS

    def __init__(self, console: Console, total: int | None) -> None:
        columns = [BarColumn(), DownloadColumn()] if total is not None else [SpinnerColumn()]
        description = TextColumn("{task.fields[messages]:,} messages, {task.fields[rate]:,.0f}/s")
        self._progress = Progress(*columns, description, TimeElapsedColumn(), console=console, transient=True)
        self._task = self._progress.add_task("", total=total, messages=0, rate=0.0)
        self._progress.start()

    def show(self, done: int, messages: int, rate: float) -> None:
        self._progress.update(self._task, completed=done, messages=messages, rate=rate)

    def close(self) -> None:
        self._progress.stop()


class ProgressLines:
    seconds = LINE_INTERVAL_SECONDS

    def __init__(self, out: OutputWrapper, total: int | None) -> None:
        self._out = out
        self._total = total

    def show(self, done: int, messages: int, rate: float) -> None:
        share = f"{done / self._total:.0%}, " if self._total else ""
        self._out.write(f"{share}{messages:,} messages, {rate:,.0f}/s")
        self._out.flush()

    def close(self) -> None:
        pass


class ProgressMeter:
    """`total` is in bytes, if known; `out` receives the lines if stderr is not a terminal."""

    def __init__(self, out: OutputWrapper, total: int | None = None) -> None:
        console = Console(stderr=True)
        self._display: Display = ProgressBar(console, total) if console.is_terminal else ProgressLines(out, total)
        self._started_at = self._shown_at = time.monotonic()
        self._shown = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started_at

    def at(self, messages: int, done: int = 0) -> None:
        """Updates the display at most once per interval; called for every message."""
        now = time.monotonic()
        elapsed = now - self._shown_at
        if elapsed >= self._display.seconds:
            self._display.show(done, messages, (messages - self._shown) / elapsed)
            self._shown_at, self._shown = now, messages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()
