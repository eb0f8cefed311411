"""Every page in a real browser, where there is one: nothing to complain of in its console."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hyperwatch.tests.services.commands import Start

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=5000",
]  # fmt: skip
PAGES = ["/", "/docs", "/docs/ws", "/redoc", "/admin/", "/api/v1/liquidations"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="chromium is not here to look at the pages")
def test_no_page_has_an_error_in_a_browsers_console(web_server: Start, tmp_path: Path) -> None:
    server = web_server()
    for path in PAGES:
        command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{server.url}{path}"]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert "Hyperwatch" in seen.stdout, path
        assert re.findall(r"CONSOLE.*", seen.stderr) == [], path
