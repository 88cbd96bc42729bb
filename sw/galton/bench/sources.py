"""The digest of the program's source that a cell's numbers come from."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "galton"
APART = ("galton.cli", "galton.report", "galton.bench.runner")
"""What changes no number of a cell."""


@cache
def digest(roots: tuple[str, ...]) -> str:
    """A name for the text of the modules and of all that they import from this package; other packages do not count."""
    found = hashlib.sha256()
    for name in sorted(reached(roots)):
        found.update(name.encode() + b"\0" + source(name) + b"\0")
    return found.hexdigest()[:20]


def reached(roots: Iterable[str]) -> set[str]:
    """The modules and what they import, wherever in their text, from this package."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and not any(name == apart or name.startswith(f"{apart}.") for apart in APART):
            found.add(name)
            waiting.extend(imported(name))
    return found


@cache
def imported(name: str) -> tuple[str, ...]:
    """Modules of this package that a module's text imports; of a package, one of whose modules it takes, only that one."""
    return tuple(dict.fromkeys(_imported(ast.parse(source(name)))))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [part if path(part) is not None else node.module for part in parts]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE and path(name) is not None)


@cache
def path(name: str) -> Path | None:
    """The file of a module of this package; None for a name that is no module."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def source(name: str) -> bytes:
    """The text of a module of this package."""
    file = path(name)
    return b"" if file is None else file.read_bytes()
