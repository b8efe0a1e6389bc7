"""docs/operations.md has every status, slug, record and log event there is, and what it means."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.openapi import description
from shared.errors import every_error
from tests.api_world import ApiWorld
from tests.dead import a_plan, die, drive, driver
from tests.test_openapi import INWARD

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
#: What looks like a record's name and is none.
FOREIGN = ("projects/", "roles/", "image/", "text/", "application/", "multipart/")


def rows(heading: str) -> list[list[str]]:
    """Cells of every row of the tables whose first heading begins so."""
    found = []
    for table in re.findall(rf"^\| {heading}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        found += [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()]
    return found


def named(heading: str) -> set[str]:
    """Everything that the first column of such tables names, each with its meaning."""
    found = set()
    for cells in rows(heading):
        assert any(cells[1:]), f"{cells[0]} is named and not explained"
        found |= set(re.findall(r"`([^`]+)`", cells[0]))
    return found


def calls(*rooms: str) -> Iterator[ast.Call]:
    for room in rooms:
        for file in (ROOT / room).rglob("*.py"):
            yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def text_of(node: ast.expr) -> str:
    """A string as the code has it, with {} for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_log_event() -> None:
    said = {
        text_of(call.args[0])
        for call in calls("api", "ops", "shared", "worker")
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and ast.unparse(call.func.value) == "log"
    }
    assert "" not in said, "an event whose name is put together cannot be looked up"
    assert len(said) > 50
    assert said - named("event") == set()


def test_every_status_of_a_job_a_replay_and_a_dead_letter() -> None:
    schemas = description()["components"]["schemas"]
    for schema, member, heading in (
        ("Job", "status", "status \\|"),
        ("Replay", "status", "status of a replay"),
        ("DeadLetter", "state", "state of a dead letter"),
    ):
        assert set(schemas[schema]["properties"][member]["enum"]) == named(heading)


def test_every_slug() -> None:
    assert set(every_error()) - INWARD - named("slug") == set()


# --- records ------------------------------------------------------------------------------------


def documented() -> list[str]:
    names = named("record")
    return [re.sub(r"^\.\.\./", "jobs/{job}/e{n}/", name) for name in names]


def is_documented(name: str) -> bool:
    return any(re.fullmatch(pattern_of(known), name) for known in documented())


def pattern_of(known: str) -> str:
    """What fits a documented name, in which one letter stands for a number."""
    numbered = re.sub(r"\\{\w\\}", r"\\d+", re.escape(known))
    return re.sub(r"\\{\w+\\}", "[^/]+", numbered)


def test_every_record_that_a_long_story_writes(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    job_id = world.done()
    first, second = die(world, 1, 2)
    world.queue.published.clear()
    drive(world, driver(world).begin(a_plan(world, [first])))
    order = {"jobs": [second], "reason": "refunded"}
    assert world.client.post("/v1/dead-letters/resolve", json=order).status_code == 200
    world.client.post("/warmup")
    names = set(world.names())
    world.client.delete(f"/v1/jobs/{job_id}")
    names |= set(world.names())
    assert len(names) > 30
    assert [name for name in sorted(names) if not is_documented(name)] == []


@pytest.mark.parametrize("name", ["jobs/j/e0/secret.json", "dead/d/j.e0.forgotten.json", "elsewhere/x"])
def test_a_record_that_is_not_on_the_page_is_found(name: str) -> None:
    assert not is_documented(name)


def test_every_record_that_the_code_names() -> None:
    """A name is compared as far as the code has it: what is filled in may be anything."""
    found: set[str] = set()
    for room in ("api", "shared", "worker"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr) and re.match(r"[a-z]+/(?!\(\?P)", text_of(node)):
                    found.add(text_of(node))
    of_epochs = {text_of(c.args[2]) for c in calls("shared", "worker") if _calls(c, "epoch_name")}
    found |= {f"jobs/{{}}/e{{}}/{rest}" for rest in of_epochs}
    ours = {
        name for name in found if not name.startswith(FOREIGN) and not re.match(r"(claims|published)/", name)
    }
    assert len(ours) > 15
    assert [name for name in sorted(ours) if not _is_begun(name)] == []


def _calls(call: ast.Call, name: str) -> bool:
    return ast.unparse(call.func).endswith(name) and len(call.args) > 2


def _is_begun(name: str) -> bool:
    pattern = re.escape(name).replace(re.escape("{}"), ".+")
    return any(re.match(pattern, known) for known in documented())
