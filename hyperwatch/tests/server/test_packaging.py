"""The wheel: its contents, and the `hyperwatch` command of an installation outside of the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hyperwatch import __version__
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import PDEATHSIG_PREFIX
from hyperwatch.tests.services.environment import ROOT

PACKAGES = ("hyperwatch", "liquidations", "ratios", "realtime", "transactions", "whales")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
NOT_COPIED = shutil.ignore_patterns(".*", "var", "build", "dist", "site", "__pycache__", "*.egg-info")
UNSET = {"ENV_FILE": "", "DATA_DIR": "", "SECRET_KEY": ""}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools writes `build/` beside the sources, and would take up stale modules from it."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "copy", ignore=NOT_COPIED)
    run([sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "copy")])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command. Its environment borrows the dependencies of this one, which takes a second, not 40."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(home)])
    python = home / "bin" / "python"
    run([sys.executable, *PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)])
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin" / "hyperwatch"


def run(command: Sequence[str], folder: Path = Path("/"), **env: str) -> subprocess.CompletedProcess[str]:
    done = call(command, folder, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def call(command: Sequence[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **UNSET, **env}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_wheel_contains_exactly_the_packages_with_templates_and_static(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "tests" not in path.parts and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"hyperwatch/templates/hyperwatch/start.html", "hyperwatch/static/hyperwatch/start.css"} < names


def test_wheel_requires_what_requirements_in_lists(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"hyperwatch-{__version__}.dist-info/METADATA").decode()
    lines = (ROOT / "requirements.in").read_text().splitlines()
    assert re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE) == [
        line for line in lines if line and not line.startswith("#")
    ]


def test_installed_command_lists_the_commands_of_every_package(program: Path, tmp_path: Path) -> None:
    listed = run([str(program), "help", "--commands"], tmp_path).stdout.split()
    assert {"up", "serve", "consume", "init_db", "prune", "migrate"} <= set(listed)
    module = run([str(program.with_name("python")), "-m", "hyperwatch", "serve", "--help"], tmp_path)
    assert module.stdout.startswith("usage: python -m hyperwatch serve")


def test_installed_command_reads_env_file_of_current_folder(program: Path, tmp_path: Path) -> None:
    run([str(program), "check"], tmp_path)
    assert (tmp_path / "var" / "secret_key").exists()
    (tmp_path / ".env").write_text("LOG_FORMAT=xml\n")
    refused = call([str(program), "check"], tmp_path)
    assert refused.returncode == 1
    assert "LOG_FORMAT" in refused.stderr


def test_installed_server_answers_with_pages_and_static_files(
    program: Path, fresh_database: Database, tmp_path: Path
) -> None:
    server = Installed(program, tmp_path, {**fresh_database.env, "DATA_DIR": str(tmp_path / "var"), "DEMO_MARKET": "0"})
    server.start()
    try:
        assert "/static/hyperwatch/start.css" in server.get("/", accept="text/html")
        assert "{" in server.get("/static/hyperwatch/start.css")
        assert "{" in server.get("/static/admin/css/base.css")
        assert "swagger-ui" in server.get("/docs")
    finally:
        server.stop()
    assert server.returncode == 0
    assert server.unexpected_traceback() == ""


class Installed(AppProcess):
    """`hyperwatch up` from the virtual environment."""

    def __init__(self, program: Path, folder: Path, env: dict[str, str]) -> None:
        super().__init__("up", folder, env)
        self.command = [*PDEATHSIG_PREFIX, str(program), "up"]

    def get(self, path: str, accept: str = "*/*") -> str:
        request = urllib.request.Request(f"{self.url}{path}", headers={"Accept": accept})  # noqa: S310 (http, ours)
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (http, ours)
            return str(answer.read().decode())
