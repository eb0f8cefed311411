"""Style check: finds words and names that the project's language rules exclude, with their places.

Four kinds of prose have a limit each: comments and docstrings (`code`), error, help and log texts (`texts`), comments
and docstrings of tests (`tests`), and documentation (`docs`). Identifiers and names of tests are checked separately.
"""

import ast
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("*.md", "*.html", "*.yml", ".env.example")
MIN_TEXT_WORDS = 4
MAX_TEST_NAME_WORDS = 9

# Colloquial words, personification, and constructions that hide the subject of a sentence.
EXCLUDED_WORDS = re.compile(
    r"\b("
    r"who|whom|whoever|nobody|somebody|strangers?|newcomers?|"
    r"tells?|telling|told|asked|kept|hears?|heard|mends?|mended|parted|parts with|"
    r"lets? go|put off|made good|comes? to stand|"
    r"what (are|came|comes|is|stands|was|were)|is to be|that is none|so long|in its turn|whose turn"
    r")\b",
    re.IGNORECASE,
)
EXCLUDED_NAMES = re.compile(
    r"_*((is|has)_)?"
    r"(asked|away|bearers?|begun|deadman|doors?|gone|kept|lanes?|lesser|looked|mend\w*|outlets?|patience|strangers?|"
    r"tells?|tell_\w+|told|\w+_told|together|underway|visits?)",
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
SQL = re.compile(r"\b(ALTER|CREATE|DELETE|FROM|INSERT|SELECT|UPDATE|WHERE)\b")
MARKUP = re.compile(r"<[^>]*>")
INLINE_CODE = re.compile(r"`[^`]*`")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Passage(NamedTuple):
    kind: str
    path: Path
    line: int
    text: str

    @property
    def word_count(self) -> int:
        return len(WORD.findall(self.text))

    def hits(self) -> list[str]:
        """`file:line: word` of each excluded word."""
        place = f"{self.path.relative_to(ROOT)}:{self.line}"
        return [f"{place}: {match.group()}" for match in EXCLUDED_WORDS.finditer(self.text)]


def tracked_files(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = (ROOT / name for name in names)
    return [path for path in paths if path.exists() and "migrations" not in path.parts]


def is_test(path: Path) -> bool:
    return "tests" in path.parts or path.name.startswith("test_")


@cache
def passages() -> list[Passage]:
    found = [passage for path in tracked_files("*.py") for passage in _python_passages(path)]
    return found + [passage for path in tracked_files(*DOCUMENTS) for passage in _document_passages(path)]


def _python_passages(path: Path) -> Iterator[Passage]:
    kind = "tests" if is_test(path) else "code"
    for token in _tokens(path):
        if token.type == tokenize.COMMENT:
            yield Passage(kind, path, token.start[0], token.string)
    tree = ast.parse(path.read_text())
    docstrings = _docstrings(tree)
    for node in docstrings.values():
        yield Passage(kind, path, node.lineno, str(node.value))
    if kind == "code":
        yield from _texts(path, tree, docstrings)


def _docstrings(tree: ast.AST) -> dict[int, ast.Constant]:
    """Docstring nodes by `id`."""
    nodes = (node.body[0] for node in ast.walk(tree) if isinstance(node, DOCUMENTED) and node.body)
    values = (node.value for node in nodes if isinstance(node, ast.Expr))
    return {id(value): value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}


def _texts(path: Path, tree: ast.AST, docstrings: dict[int, ast.Constant]) -> Iterator[Passage]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if len(node.value.split()) >= MIN_TEXT_WORDS and not SQL.search(node.value):
            yield Passage("texts", path, node.lineno, node.value)


def _document_passages(path: Path) -> Iterator[Passage]:
    is_markdown, is_code_block = path.suffix == ".md", False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if is_markdown and line.lstrip().startswith("```"):
            is_code_block = not is_code_block
        elif not is_code_block:
            yield Passage("docs", path, number, (INLINE_CODE if is_markdown else MARKUP).sub(" ", line))


def excluded_names() -> list[str]:
    """`file:line: name` of each use of an excluded identifier."""
    return [
        f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
        for path in tracked_files("*.py")
        for token in _tokens(path)
        if token.type == tokenize.NAME and EXCLUDED_NAMES.fullmatch(token.string)
    ]


def long_test_names() -> list[str]:
    """`file:line: name` of each test with too long a name."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in tracked_files("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.removeprefix("test_").split("_")) > MAX_TEST_NAME_WORDS
    ]


def _tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    with path.open("rb") as file:
        yield from tokenize.tokenize(file.readline)
