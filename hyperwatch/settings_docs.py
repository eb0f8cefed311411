"""The text of docs/configuration.md, which `make docs` writes (hyperwatch/tests/generate_docs.py).

Names, defaults and descriptions come from `.env.example`, which a test compares with settings.py. Accepted values
come from settings.py itself: it rejects all invalid values in one message, with the accepted values of each setting.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "configuration.md"

SETTING = re.compile(r"(#? ?)([A-Z][A-Z0-9_]*)=(.*)")
HEADING = re.compile(r"# --- (.*?)(?: -{3,})?")
# Shown in `.env.example` with an example in place of a default.
WITHOUT_DEFAULT = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
# No number, flag, name, host, URL or origin: every setting that validates its value rejects it.
INVALID = "? ?"
# Folders and files: any text may be a path, and an invalid one would be created.
PATHS = ("DATA_DIR", "ENV_FILE")
REJECTION = re.compile(r"^  ([A-Z][A-Z0-9_]*) (?:takes |must be |accepts )?(.*?)(?:, not '.*|; it .*)?$", re.MULTILINE)

HEAD = """\
# Configuration

<!-- Written by `make docs` from .env.example and hyperwatch/settings.py. Changes belong there. -->

Settings come from the environment, else from the file `.env`, else from the defaults below.
`.env` belongs into the root of a checkout; an installed `hyperwatch` reads it from the current folder.
`ENV_FILE` names another file. An empty value is the same as an unset one.

Invalid values stop every command at its start. The message names all of them at once, each with the values that it
accepts. A misspelt name in `.env` stops the start as well, with the nearest setting; any other unknown name there is a
warning. `.env.example` lists the same settings, to copy.
"""


@dataclass
class Group:
    """Settings that follow each other under one comment."""

    description: list[str] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)


@dataclass
class Section:
    title: str
    groups: list[Group] = field(default_factory=list)


def parse(example: str) -> list[Section]:
    """The sections of `.env.example`; text before the first heading is about the file itself."""
    sections: list[Section] = []
    for line in _joined_headings(example.splitlines()):
        if heading := HEADING.fullmatch(line):
            sections.append(Section(heading[1]))
        elif sections:
            _add(sections[-1].groups, line)
    return sections


def _joined_headings(lines: list[str]) -> Iterator[str]:
    """Joins a heading, which ends with dashes, with the next comment line if it continues there."""
    pending = ""
    for line in lines:
        text = f"{pending} {line.removeprefix('# ')}" if pending else line
        is_open = text.startswith("# --- ") and not text.endswith("---")
        pending = text if is_open else ""
        if not is_open:
            yield text


def _add(groups: list[Group], line: str) -> None:
    setting = SETTING.fullmatch(line)
    if setting is None and not line.startswith("#"):
        return
    if not groups or (setting is None and groups[-1].defaults):
        groups.append(Group())
    if setting:
        # A line without comment sign has a placeholder, which users must replace.
        is_default = setting[1] and setting[2] not in WITHOUT_DEFAULT
        groups[-1].defaults[setting[2]] = setting[3] if is_default else ""
    else:
        groups[-1].description.append(line.removeprefix("#").removeprefix(" "))


def accepted_values(names: list[str]) -> dict[str, str]:
    """The accepted values of each setting, from its error. Settings that accept any text are missing."""
    with tempfile.TemporaryDirectory() as folder:
        probe = dict.fromkeys(names, INVALID) | dict.fromkeys(PATHS, folder) | {"ENV_FILE": os.devnull}
        command = [sys.executable, "-c", "import hyperwatch.settings"]
        env = {**os.environ, **probe}
        result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    return {name: accepted for name, accepted in REJECTION.findall(result.stderr) if name in names}


def render(sections: list[Section], accepted: dict[str, str]) -> str:
    return HEAD + "".join(_render_section(section, accepted) for section in sections)


def _render_section(section: Section, accepted: dict[str, str]) -> str:
    title, _, text = section.title.partition(": ")
    text = f"{text[:1].upper()}{text[1:]}.\n\n" if text else ""
    rows = "".join(_render_group(group, accepted) for group in section.groups if group.defaults)
    return f"\n## {title}\n\n{text}| setting | default | accepts | purpose |\n| --- | --- | --- | --- |\n{rows}"


def _render_group(group: Group, accepted: dict[str, str]) -> str:
    names = "<br>".join(f"`{name}`" for name in group.defaults)
    defaults = "<br>".join(f"`{value}`" if value else "none" for value in group.defaults.values())
    values = [accepted.get(name, "text") for name in group.defaults]
    one_or_each = values[0] if len(set(values)) == 1 else "<br>".join(values)
    return f"| {names} | {_cell(defaults)} | {_cell(one_or_each)} | {_cell(_prose(group.description))} |\n"


def _prose(lines: list[str]) -> str:
    """Comment lines as one paragraph; an indented line is a command."""
    return " ".join(f"`{line.strip()}`" if line.startswith("    ") else line for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def page() -> str:
    sections = parse(EXAMPLE.read_text())
    names = [name for section in sections for group in section.groups for name in group.defaults]
    return render(sections, accepted_values(names))
