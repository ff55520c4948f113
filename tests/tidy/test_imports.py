"""Who may import whom.

schemas                imports nothing of ours
engine_node/core       includes nothing but its own headers and three of the C library
engine_node            may import schemas, and of ironbook the key store (docs/decisions/0001) and how secrets change
ironbook               may import schemas, and engine_node for a replica or to start a node in a process of its own
ironbook.embedded      may also import what analytics computes and writes, without its worker
gateway                may import schemas, ironbook, and of engine_node what a replica needs
streams                may import schemas and ironbook, never engine_node; a processor never another one; rules are pure
functions              may import schemas and ironbook; a function never another one; only adapters know AWS
C: core <- journal (vocabulary only) <- ingress;  core <- feed;  host <- journal, ingress;  only binding knows Python
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re

import pytest

OURS = {"schemas", "engine_node", "functions", "gateway", "ironbook", "streams", "benchmarks", "tests"}
MAY_IMPORT = {
    "schemas": set(),
    "engine_node": {
        "schemas",
        "ironbook._errors",
        "ironbook._kafka",
        "ironbook.held",
        "ironbook.keystore",
        "ironbook.renewal",
    },
    "ironbook": {"schemas", "engine_node"},
    "gateway": {
        "schemas",
        "ironbook",
        "engine_node.replica",
        "engine_node._engine",
        "engine_node.snapshots",
        "engine_node.errors",
        "engine_node.logs",
    },
    "functions": {"schemas", "ironbook"},
    "streams": {"schemas", "ironbook"},
    "benchmarks": {"schemas", "engine_node", "functions", "gateway", "ironbook", "streams"},
}
EMBEDDED = "ironbook/embedded.py"
EMBEDDED_MAY_TAKE = {"streams.analytics.folds", "streams.analytics.store", "streams.analytics.topics"}
PROCESSORS = {"validation", "risk", "submitter", "analytics"}
IMPURE = {"aiokafka", "faust", "asyncpg", "asyncio", "os", "pathlib", "random", "secrets", "socket", "time"}
KEY_STORE_MAY_IMPORT = {"schemas", "ironbook.held", "ironbook.keystore"}
# The client and command line take these of the engine node; the running engine only by a process of its own.
IRONBOOK_MAY_TAKE = {
    "engine_node.replica",
    "engine_node._engine",
    "engine_node.settings",
    "engine_node.snapshots",
    "engine_node.keyfile",
    "engine_node.doctor",
    "engine_node.errors",
    "engine_node",
}
CORE_SYSTEM_HEADERS = {"assert.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "stdlib.h", "stdio.h"}
C_MAY_INCLUDE = {
    "core": {"core"},
    "host": {"host"},
    "journal": {"core", "host", "journal"},
    "ingress": {"core", "host", "journal", "ingress"},
    "feed": {"core", "feed"},
    "binding": {"core", "host", "journal", "ingress", "feed", "binding"},
}


def imports(text: str, package: str) -> set[str]:
    """Absolute names that a module imports, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join(base + ([node.module] if node.module else []))
            else:
                module = node.module or ""
            found |= {module} | {f"{module}.{name.name}" for name in node.names}
    return found


def python_modules(texts, top: str) -> list[tuple[str, set[str]]]:
    return [
        (path, imports(text, path.rsplit("/", 1)[0].replace("/", ".")))
        for path, text in texts.items()
        if path.startswith(top + "/") and path.endswith(".py")
    ]


@pytest.mark.parametrize("top", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_stands_below_it(texts, top):
    wrong = [
        f"{path} imports {name}"
        for path, names in python_modules(texts, top)
        for name in sorted(names)
        if name.split(".")[0] in OURS - {top}
        and not any(allowed.startswith(name + ".") for allowed in MAY_IMPORT[top])  # from engine_node import replica
        and not any(name == allowed or name.startswith(allowed + ".") for allowed in MAY_IMPORT[top])
        and not (path == EMBEDDED and any(name == taken or name.startswith(taken + ".") for taken in EMBEDDED_MAY_TAKE))
    ]
    assert not wrong, wrong


def test_a_processor_imports_no_other_processor_and_no_commands(texts):
    wrong = []
    for path, names in python_modules(texts, "streams"):
        own = path.split("/")[1]
        others = {f"streams.{name}" for name in PROCESSORS - {own}} | {"ironbook.cli", "ironbook.tape"}
        taken = [name for name in sorted(names) if any(f"{name}.".startswith(f"{other}.") for other in others)]
        wrong += [f"{path} imports {name}" for name in taken]
    assert not wrong, wrong


def test_rules_know_no_kafka_no_database_and_no_clock(texts):
    rules = [row for row in python_modules(texts, "streams") if row[0].endswith("/rules.py")]
    assert len(rules) >= 3
    wrong = [f"{path} imports {name}" for path, names in rules for name in names if name.split(".")[0] in IMPURE]
    assert not wrong, wrong


def test_the_key_store_and_what_is_held_stand_below_the_engine_node(texts):
    wrong = sorted(
        name
        for module in ("keystore", "held", "renewal")
        for name in imports(texts[f"ironbook/{module}.py"], "ironbook")
        if name.split(".")[0] in OURS
        and not any(name == allowed or name.startswith(allowed + ".") for allowed in KEY_STORE_MAY_IMPORT)
    )
    assert not wrong, wrong


def test_the_client_takes_only_the_open_parts_of_the_engine_node(texts):
    wrong = []
    for path, names in python_modules(texts, "ironbook"):
        for name in sorted(names):
            if name.split(".")[0] == "engine_node" and not any(
                name == allowed or (name.startswith(allowed + ".") and allowed != "engine_node")
                for allowed in IRONBOOK_MAY_TAKE
            ):
                module = importlib.import_module("engine_node")
                if not hasattr(module, name.removeprefix("engine_node.")):
                    wrong.append(f"{path} imports {name}")
    assert not wrong, wrong


def test_only_the_server_is_the_primary(texts):
    wrong = [
        path
        for top in ("engine_node", "gateway", "ironbook")
        for path, names in python_modules(texts, top)
        if {"engine_node._engine.Engine"} & names and path != "engine_node/server.py"
    ]
    assert not wrong, f"only engine_node/server.py may make an Engine: {wrong}"


def c_includes(texts, folder: str):
    for path, text in texts.items():
        if re.match(rf"engine_node/{folder}/[^/]+\.[ch]$", path):
            for kind, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, re.MULTILINE):
                yield path, kind == "<", name


def test_the_core_includes_nothing_of_the_system(texts):
    wrong = [
        f"{path} includes <{name}>"
        for path, system, name in c_includes(texts, "core")
        if system and name not in CORE_SYSTEM_HEADERS and not name.endswith("intrin.h")
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("folder", sorted(C_MAY_INCLUDE))
def test_a_c_folder_includes_only_what_stands_below_it(texts, folder):
    wrong = []
    for path, system, name in c_includes(texts, folder):
        if system:
            if folder != "binding" and name == "Python.h":
                wrong.append(f"{path} includes {name}")
            continue
        parts = [part for part in name.split("/") if part not in ("..", "engine_node")]
        target = parts[0] if len(parts) > 1 else folder
        if name != "source_digest.h" and target not in C_MAY_INCLUDE[folder]:
            wrong.append(f"{path} includes {name}")
    assert not wrong, wrong


def test_only_the_host_calls_the_system_for_sockets_files_and_time(texts):
    calls = re.compile(
        r"(?<![\w.>])(recv|recvmsg|send|sendmsg|writev|pwrite|pread|fdatasync|fsync|clock_gettime|getrandom|mmap)\s*\("
    )
    wrong = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts.items()
        if re.match(r"engine_node/(ingress|journal|core|feed)/.*\.c$", path)
        for number, line in enumerate(text.splitlines(), 1)
        if calls.search(re.sub(r"/\*.*?\*/|^\s*\*.*|\"[^\"]*\"", "", line))
        and "MAP_ANONYMOUS" not in line  # memory, not a file
        and not (path == "engine_node/journal/background.c" and "clock_gettime(CLOCK_MONOTONIC" in line)  # how long a
        # thread sleeps; never a time that anything is stamped with
    ]
    assert not wrong, f"these must go through host.h: {wrong}"


@pytest.mark.parametrize("name", ["engine_node", "ironbook", "schemas"])
def test_a_package_root_exports_exactly_what_it_says(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed)), "a name stands twice in __all__"
    missing = [entry for entry in listed if not hasattr(module, entry)]
    assert not missing, f"{name}.__all__ names what is not there: {missing}"
    submodules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    public = {entry for entry in vars(module) if not entry.startswith("_")} - submodules - {"annotations"}
    assert public <= set(listed), f"{name} exports without saying so: {sorted(public - set(listed))}"
