"""`make mutate`: removes each guard of mutations.toml and expects its test to fail.

Each guard is removed from a copy of the tree, in which its test runs. `ARGS="redis half-open"` selects by words in
the fault, the promise or the test; `ARGS=--table` prints the fault matrix and removes nothing.
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
TEST_TIMEOUT_SECONDS = 300.0
FAILED = 1


class Verdict(NamedTuple):
    guard: Guard
    is_detected: bool
    output: str
    seconds: float


def main(arguments: Sequence[str]) -> int:
    params = _parse(arguments)
    if params.table:
        say(table())
        return 0
    selected = [guard for guard in GUARDS if _is_selected(guard, params.words)]
    if not selected:
        say(f"no guard has one of these words: {' '.join(params.words)}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(params.jobs) as pool:
        detected = [_report(verdict) for verdict in pool.map(_remove, selected)]
    say(f"{sum(detected)} of {len(detected)} tests fail without their guard")
    return 0 if all(detected) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="only guards with one of these words in their row of the matrix")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="print the fault matrix and remove nothing")
    return parser.parse_args(arguments)


def _is_selected(guard: Guard, words: Sequence[str]) -> bool:
    row = f"{guard.fault} {guard.promise} {guard.test}".lower()
    return not words or any(word.lower() in row for word in words)


def _report(verdict: Verdict) -> bool:
    result = "failed, as expected" if verdict.is_detected else "DID NOT FAIL"
    removed = verdict.guard.code.strip().splitlines()[0]
    say(f"{result}: {verdict.guard.test} ({verdict.seconds:.0f} s), without {verdict.guard.path}: {removed}")
    if not verdict.is_detected:
        say(verdict.output)
    return verdict.is_detected


def _remove(guard: Guard) -> Verdict:
    began = time.monotonic()
    with _copy() as tree:
        path = tree / guard.path
        path.write_text(guard.taken_out_of(path.read_text()))
        status, output = _run(tree, guard.test)
    return Verdict(guard, status == FAILED, f"pytest ended with {status}\n{output[-2_000:]}", time.monotonic() - began)


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
    """Pytest's exit status and output; a test that hangs without its guard has failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    # Python detects a stale .pyc by size and modification time in seconds.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    pytest = subprocess.Popen(
        command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = pytest.communicate(timeout=TEST_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(pytest.pid, signal.SIGINT)
        output, _ = pytest.communicate()
        return FAILED, f"no end within {TEST_TIMEOUT_SECONDS:.0f} s\n{output}"
    return pytest.returncode, output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
