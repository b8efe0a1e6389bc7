"""A Dockerfile as its stages, read by Docker's own parser.

Only what the Dockerfiles here need is understood; anything else is an error, never a guess.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import dockerfile


class NotUnderstoodError(Exception):
    """A Dockerfile says something that is not understood here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction with its words as they were written; a shell's command is one word."""

    name: str  #: in capitals
    words: tuple[str, ...]
    flags: Mapping[str, str]
    is_json: bool
    text: str

    @property
    def pairs(self) -> dict[str, str]:
        """What an ENV, LABEL or ARG gives; an ARG without a default gives the empty text."""
        if self.name == "ARG":
            return {name: value for name, _, value in (word.partition("=") for word in self.words)}
        return dict(zip(self.words[::2], self.words[1::2], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What happens from one FROM to the next."""

    alias: str  #: empty where it has none
    base: str  #: an image or an earlier stage, before variables are filled in
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """The stages in order; the last one is the image."""

    path: Path
    arguments: Mapping[str, str]  #: of the FROMs, with their defaults
    stages: tuple[Stage, ...]

    @property
    def instructions(self) -> Iterator[Instruction]:
        """Every instruction of every stage."""
        for stage in self.stages:
            yield from stage.instructions


def read(path: Path) -> Dockerfile:
    """Read a Dockerfile.

    Raises
    ------
    NotUnderstoodError
        If it cannot be parsed, or begins with something else than ARG or FROM.
    """
    try:
        instructions = [_instruction(command) for command in dockerfile.parse_file(str(path))]
    except dockerfile.GoParseError as error:
        raise NotUnderstoodError(f"{path}: {error}") from error
    starts = [i for i, instruction in enumerate(instructions) if instruction.name == "FROM"]
    arguments: dict[str, str] = {}
    for instruction in instructions[: starts[0] if starts else None]:
        if instruction.name != "ARG":
            raise NotUnderstoodError(f"{path}: {instruction.text!r} before the first FROM")
        arguments |= instruction.pairs
    ends = [*starts[1:], len(instructions)]
    stages = tuple(_stage(instructions[i:end]) for i, end in zip(starts, ends, strict=False))
    return Dockerfile(path=path, arguments=arguments, stages=stages)


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Put variables into a word as Docker does; only ``$NAME`` and ``${NAME}`` are understood.

    Raises
    ------
    NotUnderstoodError
        If one is not set, where Docker would silently put nothing.
    """
    try:
        return Template(text.strip('"')).substitute(variables)
    except (KeyError, ValueError) as error:
        raise NotUnderstoodError(f"{text!r}: {error}; there are {sorted(variables)}") from error


def _instruction(command: "dockerfile.Command") -> Instruction:
    if command.heredocs:
        raise NotUnderstoodError(f"{command.original!r}: heredocs are not understood")
    flags = (flag.removeprefix("--").partition("=") for flag in command.flags)
    return Instruction(
        name=command.cmd.upper(),
        words=tuple(command.value),
        flags={name: value for name, _, value in flags},
        is_json=command.json,
        text=command.original,
    )


def _stage(instructions: Sequence[Instruction]) -> Stage:
    match instructions[0].words:
        case [base]:
            alias = ""
        case [base, word, alias] if word.upper() == "AS":
            pass
        case _:
            raise NotUnderstoodError(f"{instructions[0].text!r}: expected FROM image or FROM image AS stage")
    return Stage(alias=alias, base=base, instructions=tuple(instructions[1:]))
