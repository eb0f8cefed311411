"""Every page in a real browser, where there is one: nothing to complain of in its console."""

import re
import subprocess
from pathlib import Path

import pytest

from hyperwatch.tests.services import environment
from hyperwatch.tests.services.commands import Start

QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=5000",
]  # fmt: skip
PAGES = ["/", "/docs", "/docs/ws", "/redoc", "/admin/", "/api/v1/liquidations"]


@pytest.mark.chromium
def test_no_page_has_an_error_in_a_browsers_console(web_server: Start, tmp_path: Path) -> None:
    server = web_server()
    browser = [environment.program("chromium"), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    for path in PAGES:
        seen = subprocess.run([*browser, f"{server.url}{path}"], capture_output=True, text=True, timeout=120)
        assert "Hyperwatch" in seen.stdout, path
        assert re.findall(r"CONSOLE.*", seen.stderr) == [], path
