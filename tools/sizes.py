"""Lists long files and functions, and fails for those that are too long.

Files over 300 lines and functions over 40 lines are listed for review; over 500 and 80 lines the check fails.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("novacron_core", "novacron_tui", "server", "tests", "tools")
GENERATED = "migrations/versions"
LISTED = {"file": 300, "function": 40}
FORBIDDEN = {"file": 500, "function": 80}


def sizes(folder: Path) -> Iterator[tuple[str, str, int]]:
    """(`file` or `function`, its name, its lines) of all files and functions below a folder."""
    for path in sorted(folder.rglob("*.py")):
        if GENERATED in path.as_posix():
            continue
        text = path.read_text()
        yield "file", str(path), len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                yield "function", f"{path}: {node.name}", node.end_lineno - node.lineno + 1


def main(folders: list[Path]) -> int:
    """Print long files and functions; returns 1 when one is too long, else 0."""
    count, failed = 0, False
    for kind, name, lines in (size for folder in folders for size in sizes(folder)):
        count += kind == "file"
        if lines > FORBIDDEN[kind]:
            failed = True
            print(f"too long: {name}: {lines} lines, at most {FORBIDDEN[kind]}", file=sys.stderr)
        elif lines > LISTED[kind]:
            print(f"long {kind}: {name}: {lines} lines")
    print(f"{count} files")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]] or [ROOT / place for place in PLACES]))
