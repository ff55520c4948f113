"""House rules that hold for every file: width, length, and words that must not be in it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

WIDTH_MAX = 120
C_FUNCTION_LINES_MAX = 70
PYTHON_FUNCTION_LINES_MAX = 80
GENERATED = {"engine_node/core/vocabulary.h", "schemas/vocabulary.py", "schemas/events.py"}


def test_generated_files_are_what_the_data_says(root):
    done = subprocess.run(
        [sys.executable, "-m", "schemas.generate", "--check"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_no_line_of_code_is_wider_than_120(texts):
    wide = [
        f"{path}:{number}: {len(line)}"
        for path, text in texts.items()
        if path.endswith((".py", ".pyi", ".c", ".h", ".cmake", "CMakeLists.txt")) and path not in GENERATED
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > WIDTH_MAX
    ]
    assert not wide, f"lines must be at most {WIDTH_MAX} wide: {wide[:20]}"


def c_functions(text: str) -> list[tuple[int, int]]:
    """(first line, number of lines) of each function of a C file: from its name at the left edge to a '}' there."""
    found, start = [], None
    for number, line in enumerate(text.splitlines(), 1):
        if (
            start is None
            and re.match(r"[A-Za-z_].*\(", line)
            and not line.startswith(("typedef", "struct", "enum", "#"))
        ):
            if not line.rstrip().endswith((";", "}")):
                start = number
        elif start is not None and line.startswith("}"):
            found.append((start, number - start + 1))
            start = None
        elif start is not None and (line.rstrip().endswith(";") and not line.startswith(" ")):
            start = None
    return found


def test_a_c_function_fits_a_screen(texts):
    long = [
        f"{path}:{start}: {lines} lines"
        for path, text in texts.items()
        if path.endswith((".c", ".h")) and path not in GENERATED
        for start, lines in c_functions(text)
        if lines > C_FUNCTION_LINES_MAX
    ]
    assert not long, f"C functions must have at most {C_FUNCTION_LINES_MAX} lines: {long}"


def test_the_length_of_c_functions_is_really_counted(texts):
    counted = sum(len(c_functions(text)) for path, text in texts.items() if path.startswith("engine_node/core/"))
    assert counted > 50


def test_a_python_function_fits_a_screen(texts):
    long = []
    for path, text in texts.items():
        if path.endswith(".py") and path not in GENERATED:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                    lines = node.end_lineno - node.lineno + 1
                    if lines > PYTHON_FUNCTION_LINES_MAX:
                        long.append(f"{path}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, f"Python functions must have at most {PYTHON_FUNCTION_LINES_MAX} lines: {long}"


def test_nothing_is_left_unfinished_or_switched_off(texts):
    # Letters in brackets, so that this file does not find itself.
    marks = r"(TOD[O]|FIXM[E]|XX[X])"
    words = re.compile(
        rf"# ?{marks}|/[/*] ?{marks}|NotImplemented[E]rror|pytest\.mark\.(ski[p]|xfai[l])|assert Tru[e]\b"
    )
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts.items()
        if path.endswith((".py", ".pyi", ".c", ".h", "Makefile", ".cmake", ".toml"))
        for number, line in enumerate(text.splitlines(), 1)
        if words.search(line)
    ]
    assert not found, found


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine(texts):
    hosts = re.compile(r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs|crates|maven|golang|debian)[a-z0-9.-]*")
    places = re.compile(r"(?<![\w.])/(wor[k]|roo[t]|hom[e])/[a-z.]")
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if hosts.search(line) or places.search(line)
    ]
    assert not found, found


def test_every_c_and_python_file_opens_with_what_it_is(texts):
    silent = []
    for path, text in texts.items():
        if path.endswith((".c", ".h")) and not text.startswith("/*"):
            silent.append(path)
        if path.endswith(".py") and text.strip() and ast.get_docstring(ast.parse(text)) is None:
            silent.append(path)
    assert not silent, f"a file must open with what it is: {silent}"
