"""`make mutate`: takes each guard out, one at a time, and sees its test fail (mutations.py names them).

Each is taken out of a copy of the tree, in which its one test runs. `ARGS="redis half-open"` chooses by words in the
fault, the promise or the test; `ARGS=--table` prints the README's table in place of that.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hyperwatch.tests.mutations import GUARDS, Guard, table

say = partial(print, flush=True)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
FAILED = 1


class Verdict(NamedTuple):
    guard: Guard
    is_seen: bool
    said: str
    seconds: float


def main(arguments: Sequence[str]) -> int:
    params = _asked(arguments)
    if params.table:
        say(table())
        return 0
    chosen = [guard for guard in GUARDS if _is_meant(guard, params.words)]
    if not chosen:
        say(f"no guard has one of these words: {' '.join(params.words)}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(params.jobs) as pool:
        seen = [_told(verdict) for verdict in pool.map(_taken_out, chosen)]
    say(f"{sum(seen)} of {len(seen)} guards are missed by their tests when they are gone")
    return 0 if all(seen) else 1


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="only guards with one of these words in their row of the table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="print the README's table, and take nothing out")
    return parser.parse_args(arguments)


def _is_meant(guard: Guard, words: Sequence[str]) -> bool:
    row = f"{guard.fault} {guard.promise} {guard.test}".lower()
    return not words or any(word.lower() in row for word in words)


def _told(verdict: Verdict) -> bool:
    sign = "failed, as it should" if verdict.is_seen else "DID NOT FAIL"
    taken = verdict.guard.code.strip().splitlines()[0]
    say(f"{sign}: {verdict.guard.test} ({verdict.seconds:.0f} s), without {verdict.guard.path}: {taken}")
    if not verdict.is_seen:
        say(verdict.said)
    return verdict.is_seen


def _taken_out(guard: Guard) -> Verdict:
    began = time.monotonic()
    with _copy() as tree:
        path = tree / guard.path
        path.write_text(guard.taken_out_of(path.read_text()))
        status, said = _run(tree, guard.test)
    return Verdict(guard, status == FAILED, f"pytest ended with {status}\n{said[-2_000:]}", time.monotonic() - began)


@contextmanager
def _copy() -> Iterator[Path]:
    """A copy of the files that git tracks or would add, with `shared` linked beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="hyperwatch-mutate-") as folder:
        tree = Path(folder) / "main"
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        if (ROOT.parent / "shared").exists():
            (Path(folder) / "shared").symlink_to(ROOT.parent / "shared")
        yield tree


def _run(tree: Path, test: str) -> tuple[int, str]:
    """Pytest's exit status, and what it said; a test that hangs without its guard has failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    # Python detects a stale .pyc by size and modification time in seconds.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    pytest = subprocess.Popen(
        command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = pytest.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(pytest.pid, signal.SIGINT)
        said, _ = pytest.communicate()
        return FAILED, f"it hung\n{said}"
    return pytest.returncode, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
