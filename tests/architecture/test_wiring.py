"""Parts get what they need in their constructors: nothing is assigned onto a part after it was built."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIRING = [ROOT / "server" / "novacron_server" / "runtime" / name for name in ("wiring.py", "routes.py", "server.py")]
SERVER = ROOT / "server" / "novacron_server"
OWN = {"self", "cls"}


def assigned_attributes(path: Path) -> Iterator[tuple[int, str]]:
    """Assignments to an attribute of something else than `self`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            continue
        targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute):
                root: ast.expr = target.value
                while isinstance(root, ast.Attribute):
                    root = root.value
                if isinstance(root, ast.Name) and root.id not in OWN:
                    yield node.lineno, ast.unparse(target)


def test_the_wiring_assigns_nothing_onto_a_part() -> None:
    found = {(path.name, what) for path in WIRING for _, what in assigned_attributes(path)}
    assert found <= {("server.py", "server.should_exit")}, "uvicorn is told to stop by its attribute"


def test_no_constructor_assigns_onto_what_it_was_given() -> None:
    wrong = []
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.FunctionDef) and node.name == "__init__"):
                continue
            given = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]} - OWN
            for statement in ast.walk(node):
                if isinstance(statement, ast.Assign):
                    for target in statement.targets:
                        if isinstance(target, ast.Attribute) and ast.unparse(target).split(".")[0] in given:
                            wrong.append(f"{path.name}:{statement.lineno}: {ast.unparse(target)}")
    assert wrong == []


def test_an_assignment_onto_a_part_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wiring.py"
    wrong.write_text("inventory.state.rates_of = rates\nself.x = 1\n")
    assert [what for _, what in assigned_attributes(wrong)] == ["inventory.state.rates_of"]
