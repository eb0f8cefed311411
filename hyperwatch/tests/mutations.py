"""The rows of the fault matrix: code that a promise depends on. `make mutate` removes it."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Guard(NamedTuple):
    """A few lines of the project without which a promise is broken, and the test that detects it.

    figure   what the test measures
    path     the file with the guard in it
    code     the guard's text, which occurs once in that file
    without  the replacement
    """

    fault: str
    promise: str
    figure: str
    test: str
    path: str
    code: str
    without: str = ""

    def taken_out_of(self, text: str) -> str:
        """The text without the guard; raises ValueError if it does not contain the guard exactly once."""
        if text.count(self.code) != 1:
            raise ValueError(f"{self.path}: expected once, found {text.count(self.code)} times: {self.code}")
        return text.replace(self.code, self.without)


def _read() -> list[Guard]:
    with Path(__file__).with_name("mutations.toml").open("rb") as file:
        return [Guard(**row) for row in tomllib.load(file)["guard"]]


GUARDS = _read()


def table() -> str:
    """The fault matrix of docs/testing.md; `make docs` writes it there."""
    rows = [f"| {one.fault} | {one.promise} | `{one.test}` | {one.figure} |" for one in GUARDS]
    return "\n".join(["| fault | promise | test | figure |", "| --- | --- | --- | --- |", *rows])
