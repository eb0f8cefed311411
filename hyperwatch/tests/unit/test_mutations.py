"""The code that `make mutate` removes exists, and docs/testing.md lists it."""

import ast
from pathlib import Path

import pytest

from hyperwatch.tests.generate_docs import TESTING_PAGE, render_testing_page
from hyperwatch.tests.mutations import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.test)
def test_mutation_code_and_test_exist(guard: Guard) -> None:
    text = (ROOT / guard.path).read_text()
    assert guard.taken_out_of(text) != text
    path, _, name = guard.test.partition("::")
    tests = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert name.partition("[")[0] in tests


def test_testing_page_has_current_fault_matrix() -> None:
    assert TESTING_PAGE.read_text() == render_testing_page(), "docs/testing.md: run `make docs`"
