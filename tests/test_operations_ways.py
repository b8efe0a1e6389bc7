"""What docs/operations.md tells an operator to type, to set or to open is there."""

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from ops.cli import main
from shared.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: A command as it stands in a line of code, or between two backticks; a comment begins after three blanks.
COMMAND = re.compile(r"\./cutout (?P<words>[^`\n]*?)(?=`|\n|;|   )")


def commands() -> list[str]:
    return sorted({match["words"].strip() for match in COMMAND.finditer(PAGE)})


def ways(words: str) -> list[list[str]]:
    """Return what may be typed: ``list | show REPLAY`` is two commands of one group."""
    first, *others = words.split(" | ")
    group = first.split()[:1]
    return [first.split(), *(group + other.split() for other in others)]


def fault_in(words: list[str]) -> str | None:
    """Say which word of a command the command line does not know."""
    command: click.Command = main
    while isinstance(command, click.Group):
        if not words:
            return None  # a group by itself lists its commands
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[0]
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    return next((word for word in words if word.startswith("--") and word not in known), None)


def test_every_command_and_option_is_there() -> None:
    found = [way for words in commands() for way in ways(words)]
    assert len(found) > 25
    assert [(" ".join(way), fault) for way in found if (fault := fault_in(way))] == []


@pytest.mark.parametrize(
    "wrong", ["restart", "jobs --closed", "replays list | stop REPLAY", "dead-letters open"]
)
def test_a_command_that_is_not_there_is_found(wrong: str) -> None:
    assert any(fault_in(way) for way in ways(wrong))


def test_every_setting_and_no_other() -> None:
    told = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", PAGE))
    assert told == {PREFIX + setting.name.upper() for setting in fields(Settings)}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name) if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "operations.md"
    assert leads_somewhere(page, "#statuses")
    assert not leads_somewhere(page, "#status")
    assert not leads_somewhere(page, "engine.md#verify-last")
    assert not leads_somewhere(page, "motor.md")
