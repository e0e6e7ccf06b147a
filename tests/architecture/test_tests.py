"""Test modules and conftest files are imported by no other module: what tests share is in tests/support."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Iterator
from pathlib import Path

from tests.support.ids import pytest_make_parametrize_id

ROOT = Path(__file__).parents[2]


def private_imports(root: Path) -> Iterator[str]:
    """`file: module` for every import of a test module or conftest by another module below `root`/tests."""
    folder = root / "tests"
    private = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if path.name.startswith("test_") or path.name == "conftest.py"
    }
    for path in sorted(folder.rglob("*.py")):
        package = path.relative_to(root).parts[:-1]
        for module in imported_modules(ast.parse(path.read_text()), package):
            if module in private:
                yield f"{path.relative_to(root)}: {module}"


def imported_modules(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    """Every module that is imported, and every imported name as if it were one; relative imports made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_no_test_module_or_conftest_is_imported() -> None:
    assert any(ROOT.glob("tests/*/test_*.py")), "this test looks in the wrong place"
    assert list(private_imports(ROOT)) == []


def test_an_import_of_a_test_module_or_conftest_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "server"
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text("NAME = 1\n")
    (folder / "test_one.py").write_text("from .conftest import NAME\n")
    (folder / "test_two.py").write_text("from tests.support import waiting\nfrom tests.server.test_one import NAME\n")
    (folder / "helper.py").write_text("from tests.server import test_two\nimport tests.server.conftest\n")
    assert list(private_imports(tmp_path)) == [
        "tests/server/helper.py: tests.server.test_two",
        "tests/server/helper.py: tests.server.conftest",
        "tests/server/test_one.py: tests.server.conftest",
        "tests/server/test_two.py: tests.server.test_one",
    ]


def test_names_of_tests_depend_on_no_clock() -> None:
    made = (gzip.compress(b"x", mtime=1), "x" * 300, "short", 7)
    assert [pytest_make_parametrize_id(value, "data") for value in made] == ["data", "data", None, None]
