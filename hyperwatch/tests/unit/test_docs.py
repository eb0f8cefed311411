"""Documents: relative links and paths of files in them exist; README and the walks stay short."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PATH = re.compile(r"`((?:hyperwatch|realtime|transactions|liquidations|ratios|whales|docs|\.ci)/[\w./-]*)(?:::[^`]*)?`")
WALK_STEP = re.compile(r"^\| (\d+) \| `([^`]+)` \|", re.MULTILINE)
MAX_README_LINES = 150
MAX_WALK_STEPS = 25


def tracked() -> set[str]:
    """Files that git tracks or would add, and their folders."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {*files, *(f"{folder}/" for file in files for folder in Path(file).parents)}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_of_page_resolve(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_paths_in_pages_exist() -> None:
    existing = tracked()
    named = {(page.name, path) for page in PAGES for path in PATH.findall(page.read_text())}
    assert len(named) > 50
    assert {(page, path) for page, path in named if path not in existing} == set()


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_architecture_walks_are_numbered_and_short() -> None:
    steps = [int(number) for number, _ in WALK_STEP.findall((ROOT / "docs" / "architecture.md").read_text())]
    begins = [place for place, number in enumerate(steps) if number == 1]
    walks = [steps[begin:end] for begin, end in zip(begins, [*begins[1:], len(steps)], strict=True)]
    assert [walk == list(range(1, len(walk) + 1)) for walk in walks] == [True, True]
    assert max(map(len, walks)) <= MAX_WALK_STEPS
