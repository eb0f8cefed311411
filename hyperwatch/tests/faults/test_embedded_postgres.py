import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from hyperwatch.embedded import CannotStartError, postgres
from hyperwatch.embedded.postgres import EmbeddedPostgres, socket_folder
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")

START_AND_WAIT = """
import sys, time
from pathlib import Path
from hyperwatch.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
time.sleep(60)
"""


@contextmanager
def folder_for_data() -> Iterator[Path]:
    """A folder like a clone's `var`, which every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
    folder.chmod(0o711)
    yield folder
    EmbeddedPostgres(folder).remove()
    shutil.rmtree(folder)


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


def execute(url: str, sql: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def write(url: str) -> None:
    execute(url, "CREATE TABLE facts (fact text)")
    execute(url, "INSERT INTO facts VALUES ('Überweisung')")


def written(url: str) -> list[tuple[object, ...]]:
    return execute(url, "SELECT fact FROM facts")


def postmaster(var: Path) -> int:
    return int((var / "postgres/data/postmaster.pid").read_text().split()[0])


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False


def test_data_stays_from_one_start_to_the_next(new_var: Path) -> None:
    with EmbeddedPostgres(new_var) as url:
        write(url)
        pid = postmaster(new_var)
    assert not is_alive(pid)
    with EmbeddedPostgres(new_var) as url:
        assert written(url) == [("Überweisung",)]


def test_address_is_known_before_start_with_any_folder_length(var: Path) -> None:
    deep = var / ("d" * 120)
    deep.mkdir()
    assert postgres.url(deep) == postgres.url(deep)
    assert postgres.url(deep) != postgres.url(var)
    assert len(str(socket_folder(deep) / ".s.PGSQL.5432")) < 107


@as_root
def test_postgres_of_root_runs_as_other_account_and_private(var: Path) -> None:
    with EmbeddedPostgres(var):
        runner = Path(f"/proc/{postmaster(var)}").stat().st_uid
        assert runner != 0
        for folder in (var / "postgres", var / "postgres/data", socket_folder(var)):
            assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (runner, 0o700)


def test_it_commits_to_disk_and_listens_on_no_port(var: Path) -> None:
    with EmbeddedPostgres(var) as url:
        assert execute(url, "SHOW fsync") == [("on",)]
        assert execute(url, "SHOW listen_addresses") == [("",)]
        assert execute(url, "SHOW server_encoding") == [("UTF8",)]


def test_a_second_one_in_the_same_folder_is_refused(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_SECONDS", 0.1)
    with EmbeddedPostgres(var) as url:
        with pytest.raises(CannotStartError, match="is running already"):
            EmbeddedPostgres(var).start()
        assert execute(url, "SELECT 1") == [(1,)]


def test_it_ends_with_a_parent_that_is_killed(var: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(var)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    write(parent.stdout.readline().strip())
    pid = postmaster(var)
    parent.kill()
    parent.communicate()
    # The next start waits for the end of the last one.
    with EmbeddedPostgres(var) as url:
        assert not is_alive(pid)
        assert written(url) == [("Überweisung",)]


def test_ctrl_c_in_its_terminal_does_not_reach_it(var: Path) -> None:
    with EmbeddedPostgres(var):
        assert os.getpgid(postmaster(var)) != os.getpgid(0)


def test_killed_postgres_is_detected_and_starts_again(var: Path) -> None:
    server = EmbeddedPostgres(var)
    write(server.start())
    os.kill(postmaster(var), signal.SIGKILL)
    server.watch(threading.Event())
    assert not server.is_alive
    server.stop()
    # What a number that has gone to another process since would make of the file that was left behind.
    left = var / "postgres/data/postmaster.pid"
    left.write_text(left.read_text().replace(left.read_text().split()[0], str(os.getpid()), 1))
    with EmbeddedPostgres(var) as url:
        assert written(url) == [("Überweisung",)]


@as_root
def test_unreachable_var_moves_data_outside_and_says_where(new_var: Path) -> None:
    new_var.chmod(0o700)
    server = EmbeddedPostgres(new_var)
    write(server.start())
    home = Path((new_var / "postgres.elsewhere").read_text().strip())
    assert (home / "data").is_dir()
    assert not home.is_relative_to(new_var)
    server.stop()
    with EmbeddedPostgres(new_var) as url:
        assert written(url) == [("Überweisung",)]
    server.remove()
    assert not home.exists()


def test_foreign_folder_in_its_place_is_rejected(var: Path) -> None:
    socket_folder(var).mkdir(mode=0o755)
    with pytest.raises(CannotStartError, match=r"not a private folder.*DATABASE_URL"):
        EmbeddedPostgres(var).start()
    socket_folder(var).rmdir()


def test_data_of_missing_version_stays_and_error_explains(var: Path) -> None:
    with EmbeddedPostgres(var):
        pass
    (var / "postgres/data/PG_VERSION").write_text("99\n")
    with pytest.raises(CannotStartError, match=r"PostgreSQL 99.*DATABASE_URL"):
        EmbeddedPostgres(var).start()
    assert (var / "postgres/data/global").is_dir()


def test_an_interrupted_beginning_is_begun_anew(new_var: Path) -> None:
    server = EmbeddedPostgres(new_var)
    with server:
        pass
    (new_var / "postgres/data").rename(new_var / "postgres/data.partial")
    (new_var / "postgres/data.partial/PG_VERSION").unlink()
    with server as url:
        assert execute(url, "SELECT 1") == [(1,)]


def test_its_processes_are_all_gone_after_stop(var: Path) -> None:
    with EmbeddedPostgres(var) as url:
        backend = int(str(execute(url, "SELECT pg_backend_pid()")[0][0]))
        group = os.getpgid(postmaster(var))
    assert not is_alive(backend)
    wait_until(lambda: not any(_group(pid) == group for pid in _pids()), "the last of its processes to go")


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
