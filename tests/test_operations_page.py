"""docs/operations.md has every status, slug, record and log event there is, what it means and what to do."""

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from api import operators
from api.openapi import description
from shared import reopening
from shared.broom import Broom
from shared.errors import every_error
from shared.jobs import Kind
from shared.sweep import Sweep
from tests.api_world import ApiWorld
from tests.dead import a_plan, die, drive, driver

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
#: What no record says of a job that has ended.
OPEN = {"queued", "processing"}
#: What looks like a record's name and is none.
FOREIGN = ("projects/", "roles/", "image/", "text/", "application/", "multipart/")


def rows(heading: str) -> list[dict[str, str]]:
    """Every row of the tables whose first heading begins so, by column; the first column is ``name``."""
    found = []
    for head, body in re.findall(rf"^(\| {heading}.*)\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        columns = ["name", *cells_of(head)[1:]]
        found += [dict(zip(columns, cells_of(row), strict=True)) for row in body.splitlines()]
    return found


def cells_of(row: str) -> list[str]:
    return [cell.strip() for cell in row.removeprefix("|").removesuffix("|").split(" | ")]


def named(heading: str) -> set[str]:
    """Everything that the first column of such tables names, with its meaning and what to do about it."""
    found = set()
    for row in rows(heading):
        assert row["means"], f"{row['name']} is named and not explained"
        assert row["do"] not in {"", "nothing"}, f"{row['name']}: what is an operator to do, or why nothing?"
        found |= names_in(row["name"])
    return found


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def calls(*rooms: str) -> Iterator[ast.Call]:
    for room in rooms:
        for file in (ROOT / room).rglob("*.py"):
            yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def text_of(node: ast.expr) -> str:
    """A string as the code has it, with {} for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def logged() -> dict[str, set[str]]:
    """Each event that the code logs, with its levels."""
    found: dict[str, set[str]] = defaultdict(set)
    for call in calls("api", "ops", "shared", "worker"):
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in LEVELS
            and ast.unparse(call.func.value) == "log"
        ):
            found[text_of(call.args[0])].add(call.func.attr.replace("exception", "error"))
    return found


def test_every_log_event_and_no_other() -> None:
    said = set(logged())
    assert "" not in said, "an event whose name is put together cannot be looked up"
    assert len(said) > 50
    assert said == named("event")


def test_every_log_event_has_the_level_that_the_code_gives_it() -> None:
    said = logged()
    for row in rows("event"):
        events, levels = re.findall(r"`([^`]+)`", row["name"]), row["level"].split(", ")
        each = levels if len(levels) > 1 else levels * len(events)
        assert [said[event] for event in events] == [{level} for level in each]


def test_every_status_of_a_job_a_replay_and_a_dead_letter() -> None:
    schemas = description()["components"]["schemas"]
    for schema, member, heading in (
        ("Job", "status", "status \\|"),
        ("Replay", "status", "status of a replay"),
        ("DeadLetter", "state", "state of a dead letter"),
    ):
        assert set(schemas[schema]["properties"][member]["enum"]) == named(heading)


# --- words that are no status of anything -------------------------------------------------------


def words(source: type | ModuleType | FunctionType) -> set[str]:
    """Every word that is returned by a module's functions, a class's or one, of those that return one."""
    tree = ast.parse(inspect.getsource(source))
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    telling = [f for f in functions.values() if f.returns and "str" in ast.unparse(f.returns).split(" | ")]
    ends = [node.value for f in telling for node in ast.walk(f) if isinstance(node, ast.Return)]
    return {word for end in ends for word in words_in(end, source, {*functions, "visit"})}


def words_in(end: ast.expr, source: object, functions: set[str]) -> set[str]:
    """Every word that an expression may be; a call's, and a variable's, are those of a function beside it."""
    match end:
        case ast.Constant(value=value):
            return {value} - {None}
        case ast.IfExp(body=first, orelse=second):
            return words_in(first, source, functions) | words_in(second, source, functions)
        case ast.Name(id=name):
            return {getattr(source, name)} if name.isupper() else set()
        case ast.Call(func=called):
            assert ast.unparse(called).removeprefix("self.") in functions
            return set()
    assert ast.unparse(end) == "terminal.status", "a word that is put together cannot be looked up"
    return set(description()["components"]["schemas"]["Job"]["properties"]["status"]["enum"]) - OPEN


def keys(source: type) -> set[str]:
    """Every word under which a class puts something down."""
    nodes = ast.walk(ast.parse(inspect.getsource(source)))
    puts = [node for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)]
    return {text_of(node.slice) for node in puts}


def test_every_status_of_an_open_job_and_no_other() -> None:
    listed = description()["components"]["schemas"]["OpenJobs"]["properties"]["jobs"]["items"]
    said = words(operators.status_of)
    assert said == set(listed["properties"]["status"]["enum"])
    assert said == named("status of an open job")


def test_every_reason_for_which_a_replay_skips_a_job_and_no_other() -> None:
    """That it has failed, of what a job's record may say, is none."""
    constants = {word for name, word in vars(reopening).items() if name.isupper()}
    said = (words(reopening) | constants) - {reopening.OPENED, "failed"}
    assert said == named("skipped by a replay")


def test_every_standing_of_a_message_that_the_queue_gave_up_and_no_other() -> None:
    assert {kind.value for kind in Kind} == named("standing")


def test_every_count_of_a_sweep_and_no_other(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    driver(world).begin(a_plan(world, die(world, 1)))
    answered = set(world.client.post("/internal/sweep").json)
    assert "replays" in answered
    assert words(Sweep) | keys(Sweep) | answered == named("count of a sweep")


def test_every_count_of_the_broom() -> None:
    (row,) = (row for row in rows("event") if row["name"] == "`broom.done`")
    assert len(words(Broom)) > 10
    assert words(Broom) <= names_in(row["means"])


def test_every_slug_and_no_other() -> None:
    """``malformed-message`` too, which no client is ever given: what it is about stands in the log."""
    assert set(every_error()) == named("slug")


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
    first, second, third = die(world, 1, 2, 3)
    world.queue.published.clear()
    drive(world, driver(world).begin(a_plan(world, [first])))
    order = {"jobs": [second], "reason": "refunded"}
    assert world.client.post("/v1/dead-letters/resolve", json=order).status_code == 200
    world.client.post("/warmup")
    names = set(world.names())
    for gone in (job_id, third):
        assert world.client.delete(f"/v1/jobs/{gone}").status_code == 204
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
