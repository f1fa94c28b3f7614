"""The house rules that no linter knows: sizes, names, arguments, and what may not stay behind."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
POSITIONAL_MAX = 3
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


MODULES = [path for path in tracked("*.py") if path.exists()]
SOURCES = [path for path in MODULES if "src" in path.parts]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES_MAX, f"{name_of(path)} has {lines} lines"
    for function in functions(path):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{name_of(path)}: {function.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_say_what_they_are_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_more_than_three_arguments_are_passed_by_keyword(path: Path) -> None:
    for function in functions(path):
        arguments = [
            argument.arg
            for argument in (*function.args.posonlyargs, *function.args.args)
            if argument.arg not in {"self", "cls"}
        ]
        # Callbacks get what their caller passes; their names for it begin with an underscore,
        # or they are private to the module that hands them over.
        if function.name.startswith("_"):
            continue
        assert len(arguments) <= POSITIONAL_MAX, (
            f"{name_of(path)}: {function.name} takes {len(arguments)} arguments by position"
        )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_say_what_a_module_is_about(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES
    assert not FORBIDDEN_NAMES & set(path.relative_to(ROOT).parent.parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    assert not marks.search(path.read_text(encoding="utf-8")), name_of(path)


@pytest.mark.parametrize("path", [p for p in MODULES if "tests" in p.parts], ids=name_of)
def test_tests_wait_for_conditions_and_never_sleep(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]
    assert not calls, f"{name_of(path)}:{calls[0].lineno}"


def test_the_repository_names_no_package_registry_and_no_path_of_one_machine() -> None:
    words = ["pypi.org", "pythonhosted.org", "npmjs.org", "deb.debian.org", "/work/"]
    for path in tracked():
        if not path.is_file() or path.suffix in {".png", ".ico"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found = [word for word in words if word in text]
        assert not found, f"{name_of(path)} names {found}"


def test_floats_never_touch_money() -> None:
    for path in SOURCES:
        if path.stem not in {"money", "ledger", "amounts"}:
            continue
        names = {
            node.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Name)
        }
        assert "float" not in names, name_of(path)
