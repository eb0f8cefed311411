"""The project's own processes: a command of manage.py, or a reference server of a benchmark."""

import http.client
import sys
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path

from hyperwatch.harness.local_http import open_local
from hyperwatch.harness.process import Process, free_port

TRACEBACK = "Traceback (most recent call last)"


def manage(command: str, *options: str) -> tuple[str, ...]:
    """Python's arguments for a command of manage.py."""
    return ("-m", "hyperwatch", command, *options)


class AppProcess(Process):
    """Python with `arguments` (default: `manage.py NAME`), ready once `/health` answers 200.

    It listens on a free port, which PORT and CONSUMER_STATUS_PORT set.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        env: Mapping[str, str],
        arguments: Sequence[str] = (),
        *,
        cores: set[int] | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        # True in tests that cause an error whose traceback is logged.
        self.allows_traceback = False
        ports = {"PORT": str(self.port), "CONSUMER_STATUS_PORT": str(self.port)}
        super().__init__(name, [sys.executable, *(arguments or manage(name))], folder, {**ports, **env}, cores=cores)

    def is_ready(self) -> bool:
        return self.health_status() == 200

    def health_status(self) -> int | None:
        """The HTTP status of `/health`; None if there is no response."""
        try:
            with open_local(f"{self.url}/health", timeout=2) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, http.client.HTTPException):
            return None

    def unexpected_traceback(self) -> str:
        """The output around the first traceback; empty if there is none or `allows_traceback` is set."""
        before, traceback, after = self.output().partition(TRACEBACK)
        return "" if self.allows_traceback or not traceback else f"{before[-500:]}{traceback}{after[:4000]}"
