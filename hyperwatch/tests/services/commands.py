"""The project's own processes under test: `manage.py serve` and `consume`, as an operator runs them."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.process import TRACEBACK, Process


class Command(Process):
    """A command of manage.py that serves `/health` on the port that `port_setting` names."""

    def __init__(self, command: str, port_setting: str, folder: Path, env: dict[str, str]) -> None:
        self.name = command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        # Set by a test that provokes an error which is logged with its traceback.
        self.may_complain = False
        super().__init__(
            [sys.executable, str(ROOT / "manage.py"), command], folder, {port_setting: str(self.port), **env}
        )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310 (http, ours)
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def complaint(self) -> str:
        """The output from the first unexpected traceback on, or nothing."""
        before, found, after = self.output().partition(TRACEBACK)
        return "" if self.may_complain or not found else f"{before[-500:]}{found}{after[:4000]}"


Start = Callable[..., Command]


@contextmanager
def running(command: str, port_setting: str, folder: Path, **defaults: str) -> Iterator[Start]:
    """Gives a function that starts the command with the environment it is given; ends all it started.

    With `answering=False` it does not wait for `/health`: for one that is to die early.
    """
    started: list[Command] = []

    def start(*, answering: bool = True, **env: str) -> Command:
        process = Command(command, port_setting, folder / f"{command}-{len(started)}", {**defaults, **env})
        started.append(process)
        process.start() if answering else process.launch()
        return process

    try:
        yield start
    finally:
        for process in started:
            process.stop()
    for process in started:
        if complaint := process.complaint():
            pytest.fail(f"{command} printed a traceback:\n{complaint}", pytrace=False)
