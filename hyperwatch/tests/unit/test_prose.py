"""Language of code, texts, tests and documentation: limits for excluded words and names (tests/prose.py)."""

from pathlib import Path

import pytest

from hyperwatch.tests import prose
from hyperwatch.tests.prose import Passage

MAX_HITS_PER_1000_WORDS = {"code": 1, "texts": 1, "tests": 2, "docs": 2}
MAX_EXCLUDED_NAMES = 99
MAX_LONG_TEST_NAMES = 19


@pytest.mark.parametrize(("kind", "limit"), MAX_HITS_PER_1000_WORDS.items())
def test_prose_avoids_excluded_words(kind: str, limit: int) -> None:
    passages = [passage for passage in prose.passages() if passage.kind == kind]
    words = sum(passage.word_count for passage in passages)
    assert words > 1_000
    hits = [hit for passage in passages for hit in passage.hits()]
    assert len(hits) * 1_000 <= limit * words, _report(hits, f"{len(hits)} excluded words in {words} of {kind}")


def test_identifiers_avoid_excluded_names() -> None:
    names = prose.excluded_names()
    assert len(names) <= MAX_EXCLUDED_NAMES, _report(names, f"{len(names)} uses of excluded names")


def test_test_names_have_at_most_nine_words() -> None:
    names = prose.long_test_names()
    assert len(names) <= MAX_LONG_TEST_NAMES, _report(names, f"{len(names)} names of tests are too long")


def test_excluded_word_is_found_with_place() -> None:
    passage = Passage("code", prose.ROOT / "a.py", 7, "Nobody is told so. What is kept? Whole words only: backkept.")
    assert passage.hits() == ["a.py:7: Nobody", "a.py:7: told", "a.py:7: What is", "a.py:7: kept"]


def test_passages_separate_comments_docstrings_and_texts(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        '"""A docstring."""\n# A comment\nTEXT = "four words and more"\nSQL = "SELECT one FROM a table"\n'
    )
    found = [(passage.kind, passage.line) for passage in prose._python_passages(source)]
    assert found == [("code", 2), ("code", 1), ("texts", 3)]


def _report(hits: list[str], summary: str) -> str:
    return "\n".join([f"{summary}:", *hits])
