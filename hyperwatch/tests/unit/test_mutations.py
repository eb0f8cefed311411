"""The code that `make mutate` removes exists, and the README lists it."""

import ast
from pathlib import Path

import pytest

from hyperwatch.tests.mutations import GUARDS, Guard, table

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.test)
def test_mutation_code_and_test_exist(guard: Guard) -> None:
    text = (ROOT / guard.path).read_text()
    assert guard.taken_out_of(text) != text
    path, _, name = guard.test.partition("::")
    tests = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert name.partition("[")[0] in tests


def test_the_readme_tells_what_is_tested() -> None:
    assert table() in (ROOT / "README.md").read_text()
