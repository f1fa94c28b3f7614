"""The house rules that no linter knows: sizes, names, arguments, and what may not stay behind."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
POSITIONAL_MAX = 3
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}


@cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return tuple(ROOT / name for name in names if (ROOT / name).is_file())


def modules() -> tuple[Path, ...]:
    return tracked("*.py")


def sources() -> list[Path]:
    return [path for path in modules() if "src" in path.parts]


def files_of_tests() -> list[Path]:
    return [path for path in modules() if "tests" in path.parts]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_modules_stay_small() -> None:
    sizes = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES_MAX} == {}


def test_functions_stay_small() -> None:
    long = [
        f"{name_of(path)}: {function.name}"
        for path in modules()
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_modules_say_what_they_are_for() -> None:
    silent = [path for path in sources() if tree_of(path).body]
    assert [name_of(path) for path in silent if not ast.get_docstring(tree_of(path))] == []


def test_more_than_three_arguments_are_passed_by_keyword() -> None:
    def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        arguments = (*function.args.posonlyargs, *function.args.args)
        return len([argument for argument in arguments if argument.arg not in {"self", "cls"}])

    # Private functions may be callbacks, which get what their caller passes.
    wide = [
        f"{name_of(path)}: {function.name}"
        for path in sources()
        for function in functions(path)
        if not function.name.startswith("_") and positional(function) > POSITIONAL_MAX
    ]
    assert wide == []


def test_names_say_what_a_module_is_about() -> None:
    def words(path: Path) -> set[str]:
        return {path.stem, *path.relative_to(ROOT).parent.parts}

    assert [name_of(path) for path in modules() if words(path) & FORBIDDEN_NAMES] == []


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|HA" r"CK)\b")
    assert [name_of(path) for path in modules() if marks.search(path.read_text("utf-8"))] == []


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    sleeping = [
        f"{name_of(path)}:{node.lineno}"
        for path in files_of_tests()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]
    assert sleeping == []


def test_the_repository_names_no_package_registry_and_no_path_of_one_machine() -> None:
    # Written in halves, so that this file does not name them either.
    halves = [("pyp", "i.org"), ("pythonho", "sted.org"), ("npm", "js.org"), ("deb.deb", "ian.org")]
    words = ["".join(pair) for pair in [*halves, ("/wo", "rk/")]]
    found = [
        f"{name_of(path)} names {word}"
        for path in tracked()
        if path.suffix not in {".png", ".ico"}
        for word in words
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


def test_floats_never_touch_money() -> None:
    about_money = [path for path in sources() if path.stem in {"money", "ledger", "amounts"}]
    assert about_money
    floating = [
        name_of(path)
        for path in about_money
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name) and node.id == "float"
    ]
    assert floating == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name_of(path)}: {target}"
        for path in tracked("*.md")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_every_member_says_what_it_is_in_a_readme() -> None:
    manifests = [path for path in tracked("*pyproject.toml") if path.parent != ROOT]
    assert manifests
    assert [name_of(path) for path in manifests if not (path.parent / "README.md").exists()] == []


def test_every_member_declares_what_it_imports() -> None:
    # In the shared environment every package can import every other; an image carries what is
    # declared.
    distributions = packages_distributions()
    members = {
        package.name: {tomllib.loads(manifest.read_text("utf-8"))["project"]["name"]}
        for manifest in tracked("*pyproject.toml")
        for package in (manifest.parent / "src").glob("*")
    }
    undeclared = []
    for manifest in tracked("shared/pyproject.toml", "services/*.toml", "deploy/*.toml"):
        declared = _declared(manifest)
        for path in sources():
            if not path.is_relative_to(manifest.parent):
                continue
            for name in _imported(path) - set(sys.stdlib_module_names):
                owners = {_normal(owner) for owner in distributions.get(name, [])}
                owners |= members.get(name, set())
                if not owners & declared:
                    undeclared.append(f"{name_of(path)}: {name}")
    assert undeclared == []


def _declared(manifest: Path) -> set[str]:
    project = tomllib.loads(manifest.read_text("utf-8"))["project"]
    needed = [
        *project["dependencies"],
        *(name for extra in project.get("optional-dependencies", {}).values() for name in extra),
    ]
    return {project["name"], *(_normal(re.split(r"[ \[<>=;~!]", name)[0]) for name in needed)}


def _normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
