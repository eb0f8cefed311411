"""Import rules and required files of each package (README, "The rooms")."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]
ROOMS = {"hyperwatch", "liquidations", "ratios", "whales", "transactions", "realtime"}
DOMAINS = {"liquidations", "ratios", "whales", "transactions"}
DOMAIN_FILES = {
    "__init__.py", "models.py", "events.py", "stream.py", "serializers.py", "filters.py", "views.py", "urls.py",
    "admin.py", "migrations", "tests",
}  # fmt: skip

FORMATS = (
    "hyperwatch.afterwards",
    "hyperwatch.asking",
    "hyperwatch.away",
    "hyperwatch.formats",
    "hyperwatch.fields",
    "hyperwatch.browsing",
    "hyperwatch.api",
    "hyperwatch.commanding",
    "hyperwatch.patience",
    "hyperwatch.together",
)
FRAME = (*FORMATS, "hyperwatch.logging")
FACE_FOR_DOMAINS = (
    "realtime.streams", "realtime.messages", "realtime.texts", "realtime.models", "realtime.heads", "realtime.reading",
)  # fmt: skip
FACE_FOR_ASSEMBLY = (
    "realtime.streams", "realtime.heads", "realtime.kafka", "realtime.losses", "realtime.consuming", "realtime.market",
    "realtime.routing", "realtime.asyncapi", "realtime.bench", "realtime.soak", "realtime.sending", "realtime.metrics",
)  # fmt: skip


def sources(*, tests: bool = False) -> Iterator[Path]:
    for room in sorted(ROOMS):
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            if "migrations" not in parts and (tests or "tests" not in parts):
                yield path


def imports(path: Path) -> set[str]:
    """The modules that a file imports; `from a import b` counts as `a` and as `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def is_in(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def allowed(importer: str) -> tuple[str, ...]:
    """What of ours a module may import."""
    room = importer.split(".")[0]
    if room in DOMAINS:
        return (*FRAME, *FACE_FOR_DOMAINS, room)
    if room == "realtime":
        return (*FORMATS, "realtime")
    if is_in(importer, FRAME):
        return FRAME
    return ("hyperwatch", *FACE_FOR_ASSEMBLY)


@pytest.mark.parametrize("path", list(sources()), ids=name_of)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] in ROOMS}
    assert {name for name in ours if not is_in(name, allowed(name_of(path)))} == set()


def test_only_one_module_speaks_to_kafka() -> None:
    speakers = {name_of(path) for path in sources() if any(is_in(name, ("confluent_kafka",)) for name in imports(path))}
    assert speakers == {"realtime.kafka"}


def test_the_client_can_be_copied_out() -> None:
    strangers = {name.split(".")[0] for name in imports(ROOT / "realtime" / "client.py")} - set(sys.stdlib_module_names)
    assert strangers == {"websockets"}


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_events_know_no_database_no_rest_and_no_channels(domain: str) -> None:
    forbidden = ("django", "rest_framework", "channels", "realtime.models", "hyperwatch.fields")
    assert {name for name in imports(ROOT / domain / "events.py") if is_in(name, forbidden)} == set()


@pytest.mark.parametrize("module", ["consumers", "subscriptions", "protocol", "feed"])
def test_the_websocket_asks_the_hub_and_not_the_database(module: str) -> None:
    forbidden = ("django.db", "realtime.models", "realtime.tail", *DOMAINS)
    assert {name for name in imports(ROOT / "realtime" / f"{module}.py") if is_in(name, forbidden)} == set()


def test_the_top_level_folders_are_the_six_rooms() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert {folder for folder in folders if not folder.startswith(".")} == ROOMS


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_every_domain_has_the_same_files(domain: str) -> None:
    assert {path.name for path in (ROOT / domain).iterdir()} >= DOMAIN_FILES


def test_the_settings_name_the_domains() -> None:
    assert set(settings.DOMAINS) == DOMAINS


def commands() -> list[str]:
    return sorted(path.stem for path in sources() if path.parent.name == "commands" and path.stem != "__init__")


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_and_a_test(command: str) -> None:
    from django.core.management import get_commands, load_command_class

    assert load_command_class(get_commands()[command], command).help
    texts = (path.read_text() for path in sources(tests=True) if "tests" in path.parts)
    assert any(re.search(rf"[\"' ]{command}[\"']", text) for text in texts)


PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)((?:.*\\\n)*.*)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    found = {name.lower().replace("_", "-"): version for name, version, _ in PIN.findall(text)}
    assert found, name
    return found


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_chosen_packages_are_locked_with_hashes(name: str) -> None:
    assert pins(f"{name}.in").items() <= pins(f"{name}.txt").items()
    for package, _, rest in PIN.findall((ROOT / f"{name}.txt").read_text()):
        assert "--hash=sha256:" in rest, package


def test_the_tests_run_on_what_is_run() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()
