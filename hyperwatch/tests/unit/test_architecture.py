"""Architecture: folders, the files of a domain, import rules, unique class names."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]
DOMAINS = {"liquidations", "ratios", "whales", "transactions"}
FOLDERS = {"hyperwatch", "realtime", *DOMAINS}
DOMAIN_FILES = {
    "__init__.py", "models.py", "events.py", "stream.py", "serializers.py", "filters.py", "views.py", "urls.py",
    "admin.py", "migrations", "tests",
}  # fmt: skip
MAX_MODULES = 15

# What each package may import of the project, besides itself. Longer names take precedence.
LIBRARIES = (
    "hyperwatch.__version__", "hyperwatch.concurrency", "hyperwatch.formats", "hyperwatch.gc_tuning",
    "hyperwatch.metrics", "hyperwatch.terminal",
)  # fmt: skip
FRAME = (
    *LIBRARIES, "hyperwatch.admin_base", "hyperwatch.api", "hyperwatch.cache", "hyperwatch.db", "hyperwatch.limits",
    "hyperwatch.management.base",
)  # fmt: skip
STREAMS = ("realtime.streams", "realtime.structs")
STORAGE = ("realtime.models", "realtime.storage")
ASSEMBLY = ("hyperwatch", "realtime")
MEASURING = ("hyperwatch.bench", "hyperwatch.harness", "hyperwatch.soak")
MAY_IMPORT = {
    **dict.fromkeys(
        DOMAINS,
        (*FRAME, *STREAMS, "realtime.models", "realtime.storage.sequences", "realtime.rest.stream_viewset"),
    ),
    "hyperwatch": ASSEMBLY,
    "hyperwatch.api": (*LIBRARIES, "hyperwatch.db"),
    "hyperwatch.cache": (*LIBRARIES, "hyperwatch.api", "hyperwatch.db", "hyperwatch.limits", "hyperwatch.middleware"),
    "hyperwatch.concurrency": (),
    "hyperwatch.db": ("hyperwatch.formats", "hyperwatch.metrics"),
    "hyperwatch.embedded": (),
    "hyperwatch.env": ("hyperwatch.service_urls",),
    "hyperwatch.formats": (),
    "hyperwatch.terminal": (),
    "hyperwatch.harness": ("hyperwatch.embedded", "realtime.kafka"),
    "hyperwatch.limits": LIBRARIES,
    "hyperwatch.metrics": ("hyperwatch.__version__",),
    "hyperwatch.middleware": LIBRARIES,
    "hyperwatch.server": (
        *LIBRARIES, "hyperwatch.api", "hyperwatch.cache", "hyperwatch.db", "hyperwatch.limits", "hyperwatch.middleware",
    ),
    "realtime": (*FRAME, "realtime"),
    "realtime.client": (),
    "realtime.delivery": (*FRAME, *STREAMS, *STORAGE, "realtime.protocol"),
    "realtime.ingest": (*FRAME, *STREAMS, *STORAGE, "realtime.kafka"),
    "realtime.ingest.runner": (*FRAME, *STREAMS, *STORAGE, "realtime.kafka", "realtime.ingest", "realtime.delivery"),
    "realtime.kafka": (*LIBRARIES, *STREAMS),
    "realtime.models": FRAME,
    "realtime.protocol": (*FRAME, *STREAMS),
    "realtime.settings_check": (*FRAME, "hyperwatch.env", "realtime"),
    "realtime.rest": (*FRAME, *STREAMS, *STORAGE),
    "realtime.sources": (*LIBRARIES, "hyperwatch.env", "realtime.kafka", *STREAMS),
    "realtime.storage": (*FRAME, *STREAMS, *STORAGE),
    "realtime.streams": ("hyperwatch.formats", "realtime.structs"),
    "realtime.structs": ("hyperwatch.formats",),
}  # fmt: skip


def sources(*, tests: bool = False) -> Iterator[Path]:
    for folder in sorted(FOLDERS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            if "migrations" not in parts and (tests or "tests" not in parts):
                yield path


def imports(path: Path) -> set[str]:
    """Names that a file imports, as `module.name`; imports for type checking alone do not count."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in FOLDERS}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_in(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def rule_of(module: str) -> str:
    """The longest name in MAY_IMPORT that the module belongs to."""
    return max((name for name in MAY_IMPORT if is_in(module, (name,))), key=len)


def package_of(module: str) -> str:
    """`hyperwatch.api`, `realtime.ingest`, `whales`: the unit of the import graph."""
    parts = module.split(".")
    is_split = parts[0] in {"hyperwatch", "realtime"} and (ROOT / parts[0] / parts[1]).is_dir() if parts[1:] else False
    return ".".join(parts[:2]) if is_split else ".".join(parts[: 1 if parts[0] in DOMAINS else 2])


@pytest.mark.parametrize("path", list(sources()), ids=name_of)
def test_module_imports_follow_the_table(path: Path) -> None:
    rule = rule_of(name_of(path))
    allowed = (rule, *MAY_IMPORT[rule])
    assert {name for name in own_imports(path) if not is_in(name, allowed)} == set()


def test_packages_have_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources():
        package = package_of(name_of(path))
        graph.setdefault(package, set()).update(package_of(name) for name in own_imports(path))
        graph[package].discard(package)
    assert len(graph) > 30
    list(TopologicalSorter(graph).static_order())


def test_production_modules_import_no_measuring_code() -> None:
    commands = ("hyperwatch.management.commands.bench", "hyperwatch.management.commands.soak")
    production = [path for path in sources() if not is_in(name_of(path), (*MEASURING, *commands))]
    assert [path for path in production if any(is_in(name, MEASURING) for name in imports(path))] == []


def test_only_the_kafka_package_imports_confluent_kafka() -> None:
    importers = {
        name_of(path) for path in sources() if any(is_in(name, ("confluent_kafka",)) for name in imports(path))
    }
    assert {name for name in importers if not is_in(name, ("realtime.kafka",))} == set()


def test_sources_use_no_orm() -> None:
    forbidden = ("django.db", "psycopg2", "rest_framework", "channels")
    modules = [path for path in sources() if is_in(name_of(path), ("realtime.sources",))]
    assert modules
    assert [path for path in modules if any(is_in(name, forbidden) for name in imports(path))] == []


def test_python_client_can_be_copied() -> None:
    packages = {name.split(".")[0] for name in imports(ROOT / "realtime" / "client.py")}
    assert packages - set(sys.stdlib_module_names) == {"websockets"}


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_events_import_no_orm_rest_or_channels(domain: str) -> None:
    forbidden = ("django", "rest_framework", "channels", "realtime.models", "hyperwatch.db")
    assert {name for name in imports(ROOT / domain / "events.py") if is_in(name, forbidden)} == set()


@pytest.mark.parametrize(
    "module",
    [
        "consumers", "delivery/asgi_transport", "delivery/feed", "delivery/filter_groups", "delivery/history",
        "delivery/subscribers", "protocol/frames", "protocol/subscriptions", "protocol/vocabulary",
    ],
)  # fmt: skip
def test_websocket_modules_import_no_database(module: str) -> None:
    forbidden = ("django.db", "realtime.models", "realtime.delivery.backfill", *DOMAINS)
    assert {name for name in imports(ROOT / "realtime" / f"{module}.py") if is_in(name, forbidden)} == set()


def test_top_level_folders_are_the_given_ones() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert {folder for folder in folders if not folder.startswith(".")} == FOLDERS | {"docs"}


def test_folders_have_at_most_fifteen_modules() -> None:
    modules = Counter(path.parent for path in sources() if path.name != "__init__.py")
    assert {folder: number for folder, number in modules.items() if number > MAX_MODULES} == {}


def test_class_names_are_unique() -> None:
    shared = {"Command", "Meta"}
    # A file to copy into other projects, with names for its users.
    client = ROOT / "realtime" / "client.py"
    names = Counter(
        node.name
        for path in sources()
        if path != client
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, number in names.items() if number > 1} - shared == set()


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_domain_has_the_same_files(domain: str) -> None:
    assert {path.name for path in (ROOT / domain).iterdir()} >= DOMAIN_FILES


def test_settings_list_the_domains() -> None:
    assert set(settings.DOMAINS) == DOMAINS


def commands() -> list[str]:
    return sorted(path.stem for path in sources() if path.parent.name == "commands" and path.stem != "__init__")


@pytest.mark.parametrize("command", commands())
def test_command_has_help_and_a_test(command: str) -> None:
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
def test_requirement_is_locked_with_hashes(name: str) -> None:
    assert pins(f"{name}.in").items() <= pins(f"{name}.txt").items()
    for package, _, rest in PIN.findall((ROOT / f"{name}.txt").read_text()):
        assert "--hash=sha256:" in rest, package


def test_dev_lock_contains_the_runtime_lock() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()
