"""Reads the repository's own source: files, syntax trees, imports."""

from __future__ import annotations

import ast
import subprocess
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORK = ROOT / "venuekit"
EMPTY_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
VENUES = tuple(sorted(path for path in ROOT.glob("venues/*/venuekit_*") if (path / "__init__.py").exists()))
VENUE_NAMES = tuple(sorted(path.name.removeprefix("venuekit_") for path in VENUES))


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks or would add, as it stands; an export without git counts whole."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not {".venv", ".git", "__pycache__"} & set(path.parts)]
    return tuple(sorted(path for path in paths if path.is_file()))


@cache
def product() -> tuple[Path, ...]:
    """Every module that ships."""
    files = [*FRAMEWORK.rglob("*.py"), *(path for venue in VENUES for path in venue.rglob("*.py"))]
    return tuple(sorted(path for path in files if "templates" not in path.parts))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    """Path below the repository, for messages."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path, *, with_typing: bool = False, with_lazy: bool = True) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything a file imports; `from a import b` yields `a.b`.

    Without `with_typing` blocks under `if TYPE_CHECKING` are left out, without `with_lazy` function bodies.
    """
    pending: list[ast.AST] = [parsed(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not with_typing:
            pending += node.orelse
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not with_lazy:
            continue
        else:
            pending += ast.iter_child_nodes(node)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(path: Path) -> int:
    """Lines with code on them: neither blank, nor comment, nor docstring."""
    texts: set[int] = set()
    for node in ast.walk(parsed(path)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            texts.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type not in EMPTY_TOKENS:
                lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - texts)


def none(found: Iterable[object]) -> bool:
    """True when nothing was found; otherwise the test fails with one line for each."""
    lines = [str(item) for item in found]
    if lines:
        pytest.fail("\n".join([f"{len(lines)} found:", *lines]), pytrace=False)
    return True
