"""The places in the code that call a port: found in the source, and recognised as they are reached.

A call through ``records.write_once`` and its like counts for the place that asked for it too, since a process
that dies there has come to another point of its work.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType

from shared import records
from shared.ports import ObjectStore, Queue

ROOT = Path(__file__).resolve().parent.parent
_METHODS = {
    "store": {name for name in vars(ObjectStore) if not name.startswith("_")},
    "queue": {name for name in vars(Queue) if not name.startswith("_")},
}
_THROUGH = {"write_once", "is_ours", "read_record"}
_RECORDS = Path(records.__file__)


def product_files() -> list[str]:
    """Every file of the services and of what they share."""
    rooms = ("api", "shared", "worker")
    return sorted(str(f.relative_to(ROOT)) for room in rooms for f in (ROOT / room).rglob("*.py"))


def sites_in(*files: str) -> set[str]:
    """Every place in some files of the project that calls a port."""
    return {site for file in files for site in _sites_in_file(file)}


def _sites_in_file(file: str) -> Iterator[str]:
    tree = ast.parse((ROOT / file).read_text())
    for function, node in _functions(tree):
        for called in ast.walk(node):  # or handed to somebody who calls it
            if isinstance(called, ast.Attribute) and (name := _called(called)):
                yield f"{file}:{function} {name}"


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{f.name}", f) for f in node.body if isinstance(f, ast.FunctionDef))


def _called(function: ast.Attribute) -> str | None:
    owner = ast.unparse(function.value).rpartition(".")[2]
    if function.attr in _METHODS.get(owner, ()):
        return f"{owner}.{function.attr}"
    return f"records.{function.attr}" if owner == "records" and function.attr in _THROUGH else None


def sites_of_this_call(port: str, method: str, depth: int) -> tuple[str, ...]:
    """The places that a call of a port comes from, that many frames above."""
    frame = sys._getframe(depth)
    own = f"{_place(frame.f_code)} {port}.{method}"
    through = None
    while frame.f_back and Path(frame.f_code.co_filename) == _RECORDS:
        through, frame = frame.f_code.co_name, frame.f_back
    return (own,) if through is None else (own, f"{_place(frame.f_code)} records.{through}")


@cache
def _place(code: CodeType) -> str:
    function = code.co_qualname.partition(".<locals>")[0]
    return f"{Path(code.co_filename).relative_to(ROOT)}:{function}"
