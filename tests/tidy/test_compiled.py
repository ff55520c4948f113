"""What is tested is what is in the tree: the compiled half is there and was built from these very sources."""

from __future__ import annotations

import hashlib
import importlib


def digest_of_sources(root) -> str:
    """As cmake/source_digest.cmake computes it: SHA-256 over '<sha256>  <path>\\n' of each C file, by path."""
    files = sorted(p.relative_to(root).as_posix() for p in root.glob("engine_node/**/*.[ch]"))
    lines = "".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_the_extension_was_built_from_the_sources_of_this_tree(root):
    engine = importlib.import_module("engine_node._engine")
    assert engine.SOURCE_DIGEST == digest_of_sources(root), "the extension is older than its sources: run `make build`"


def test_the_extension_in_use_is_the_one_beside_its_sources(root):
    engine = importlib.import_module("engine_node._engine")
    assert engine.__file__ is not None
    assert engine.__file__.startswith(str(root / "engine_node"))


def test_no_python_stands_in_for_the_compiled_core(root):
    assert not list(root.glob("engine_node/_engine*.py"))


def test_the_stub_names_what_the_extension_has(root):
    import ast

    engine = importlib.import_module("engine_node._engine")
    tree = ast.parse((root / "engine_node/_engine.pyi").read_text())
    wanted = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)} - {"KeyRecord"}
    wanted |= {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    missing = sorted(name for name in wanted if not hasattr(engine, name))
    assert not missing, f"the stub promises what the extension lacks: {missing}"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name != "KeyRecord":
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            lacking = sorted(name for name in methods if not hasattr(getattr(engine, node.name), name))
            assert not lacking, f"{node.name} lacks {lacking}"
