"""The rows of the README's "What is tested": code that a promise depends on. `make mutate` removes it."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Guard(NamedTuple):
    """A few lines of the project without which a promise is broken, and the test that sees it.

    figure   what the test counts
    path     the file with the guard in it
    code     the guard's text, which stands in that file once
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
        """Raises ValueError where the guard does not stand there once."""
        if text.count(self.code) != 1:
            raise ValueError(f"{self.path} has {text.count(self.code)} times: {self.code}")
        return text.replace(self.code, self.without)


def _read() -> list[Guard]:
    with Path(__file__).with_name("mutations.toml").open("rb") as file:
        return [Guard(**answer) for answer in tomllib.load(file)["guard"]]


GUARDS = _read()


def table() -> str:
    """The README's table."""
    rows = [f"| {one.fault} | {one.promise} | `{one.test}` | {one.figure} |" for one in GUARDS]
    return "\n".join(["| fault | promise | test | figure |", "| --- | --- | --- | --- |", *rows])
