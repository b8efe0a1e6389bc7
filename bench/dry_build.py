"""Build a Dockerfile without Docker: every instruction is carried out, on folders, with this system as base.

What differs from a real build: the base image is this machine (its Python, its Debian), what ADD fetches is
handed in, and stages may be left out; those are listed, so that whoever builds can say what was not tried.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from docker.utils.build import exclude_paths

from bench.dockerfiles import Dockerfile, Instruction, NotUnderstoodError, Stage, fill_in
from bench.sandbox import Sandbox

#: A file that ADD has fetched is root's alone, unless --chmod says otherwise.
_FETCHED_MODE = 0o600
_RUN_WITHIN_S = 300.0
_BASE_ENVIRON = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}


class BuildError(Exception):
    """An instruction failed; the text has the instruction and what it said."""


@dataclass
class Image:
    """A stage that is built: a folder, and what is to run in it how."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: dict(_BASE_ENVIRON))
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    command: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)  #: ARGs in reach of this stage

    def size_bytes(self, *paths: str) -> int:
        """Return how much lies under some of its paths."""
        files = (file for path in paths for file in (self.root / path).rglob("*"))
        return sum(file.lstat().st_size for file in files if not file.is_dir())


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds an image of one Dockerfile."""

    dockerfile: Dockerfile
    context: Path
    scratch: Path
    arguments: Mapping[str, str] = field(default_factory=dict)  #: as ``--build-arg``
    fetched: Path | None = None  #: a file in place of whatever ADD would fetch
    left_out: Collection[str] = ()  #: stages whose RUNs are not run
    layers: Path | None = None  #: a folder for what stages begin with, if builders are to share it

    def build(self, last: str | None = None) -> Image:
        """Build every stage up to one, or all of them, and return the last.

        Raises
        ------
        BuildError
            If an instruction fails.
        NotUnderstoodError
            If one is not understood here.
        """
        images: dict[str, Image] = {}
        for number, stage in enumerate(self.dockerfile.stages):
            alias = stage.alias or str(number)
            images[alias] = self._build_stage(stage, alias, images)
            if alias == last:
                break
        return images[alias]

    def _is_read_by_one_stage(self, alias: str) -> bool:
        """Whether nobody needs a stage but the one that goes on from it."""
        froms = [line.flags.get("from") for stage in self.dockerfile.stages for line in stage.instructions]
        return [stage.base for stage in self.dockerfile.stages].count(alias) == 1 and alias not in froms

    def not_run(self) -> list[str]:
        """Return every command that is left out, as it is written."""
        stages = (stage for stage in self.dockerfile.stages if stage.alias in self.left_out)
        return [line.text for stage in stages for line in stage.instructions if line.name == "RUN"]

    def _build_stage(self, stage: Stage, alias: str, images: Mapping[str, Image]) -> Image:
        root = self.scratch / alias
        if stage.base in images:
            before = images[stage.base]
            if self._is_read_by_one_stage(stage.base):
                before.root.rename(root)
            else:
                _copy(before.root, root)
            image = Image(root, dict(before.environ), folder=before.folder, user=before.user)
        else:
            root.mkdir(parents=True)
            image = Image(root)
        for instruction in stage.instructions:
            if not (instruction.name == "RUN" and alias in self.left_out):
                self._carry_out(instruction, image, images)
        return image

    def _carry_out(self, line: Instruction, image: Image, images: Mapping[str, Image]) -> None:
        variables = {**image.variables, **image.environ}
        match line.name:
            case "ARG":
                image.variables |= self._given(line)
            case "ENV":
                image.environ |= {name: fill_in(word, variables) for name, word in line.pairs.items()}
            case "LABEL":
                image.labels |= {name: fill_in(word, variables) for name, word in line.pairs.items()}
            case "WORKDIR":
                image.folder = os.path.join(image.folder, fill_in(line.words[0], variables))  # noqa: PTH118
                _inside(image, "").mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = fill_in(line.words[0], variables)
            case "CMD":
                image.command = line.words if line.is_json else ("/bin/sh", "-c", *line.words)
            case "RUN":
                self._run(line, image)
            case "COPY" | "ADD":
                words = [fill_in(word, variables) for word in line.words]
                self._bring(line, words, image, images)
            case _:
                raise NotUnderstoodError(f"{line.text!r} is not understood")

    def _run(self, line: Instruction, image: Image) -> None:
        """Run a command; in an empty stage it depends on its words and variables alone."""
        if self.layers is None or any(image.root.iterdir()):
            _run(line, image)
            return
        decides = repr((line.text, sorted(image.variables.items()), sorted(image.environ.items())))
        layer = self.layers / hashlib.sha256(decides.encode()).hexdigest()
        if layer.exists():
            _copy(layer, image.root)
        else:
            _run(line, image)
            _copy(image.root, layer)

    def _given(self, line: Instruction) -> dict[str, str]:
        """Return the variables of an ARG; one that has no value at all is not set."""
        found = {}
        for name, default in line.pairs.items():
            value = self.arguments.get(name) or default or self.dockerfile.arguments.get(name)
            if value:
                found[name] = value
        return found

    def _bring(
        self, line: Instruction, words: Sequence[str], image: Image, images: Mapping[str, Image]
    ) -> None:
        unknown = line.flags.keys() - {"from", "chmod"}
        if unknown:
            raise NotUnderstoodError(f"{line.text!r}: {unknown} is not understood")
        *sources, target = words
        place = _inside(image, target)
        if len(sources) > 1 and not target.endswith("/"):
            raise BuildError(f"{line.text}: several sources need a folder to go to, with / at its end")
        for source in sources:
            found = self._source(line, source, images)
            to = place / Path(source).name if found.is_file() and target.endswith("/") else place
            to.parent.mkdir(parents=True, exist_ok=True)
            _copy(found, to)
            if "://" in source:
                to.chmod(_FETCHED_MODE)
            if mode := line.flags.get("chmod"):
                to.chmod(int(mode, 8))

    def _source(self, line: Instruction, source: str, images: Mapping[str, Image]) -> Path:
        """Return what a COPY or ADD brings, wherever it lies."""
        nowhere = self.scratch / "nowhere"
        if stage := line.flags.get("from"):
            found = images[stage].root / source.lstrip("/") if stage in images else nowhere
        elif line.name == "ADD" and "://" in source:
            found = self.fetched or nowhere
        else:
            found = self._of_context(source)
        if not found.exists():
            raise BuildError(f"{line.text}: there is no {source}")
        return found

    def _of_context(self, source: str) -> Path:
        """Return a file of the build context, or a folder without what does not belong to the context."""
        picked = self.scratch / "context" / source.strip("/")
        if not picked.exists():
            for name in context_files(self.context):
                if name == source or name.startswith(f"{source.strip('/')}/"):
                    to = self.scratch / "context" / name
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self.context / name, to)
        return picked


def context_files(context: Path) -> list[str]:
    """Return the files that Docker would be sent, by the rules of ``.dockerignore``."""
    rules = (context / ".dockerignore").read_text().splitlines()
    patterns = [rule.strip() for rule in rules if rule.strip() and not rule.startswith("#")]
    return sorted(name for name in exclude_paths(str(context), patterns) if (context / name).is_file())


def _run(line: Instruction, image: Image) -> None:
    if line.flags or line.is_json:
        raise NotUnderstoodError(f"{line.text!r}: only a shell's RUN without flags is understood")
    environ = {"HOME": "/root", **_pip_settings(), **image.variables, **image.environ}
    sandbox = Sandbox(root=image.root, environ=environ, folder=image.folder, writable=True)
    command = sandbox.command(["/bin/sh", "-c", *line.words])
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_WITHIN_S, check=False)
    if done.returncode:
        raise BuildError(f"{line.text}\nended with {done.returncode}: {done.stdout}{done.stderr}")


@cache
def _pip_settings() -> dict[str, str]:
    """Return how pip is set up here, as variables: where packages come from is the builder's business."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    settings = {}
    for line in reversed(lines):  # what the environment says comes first there, and wins
        name, _, value = line.partition("=")
        settings[f"PIP_{name.rpartition('.')[2].upper().replace('-', '_')}"] = ast.literal_eval(value)
    return settings


def _inside(image: Image, path: str) -> Path:
    return image.root / os.path.join(image.folder, path).lstrip("/")  # noqa: PTH118 - an absolute path wins


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or what a folder holds, with modes and times."""
    what = f"{source}/." if source.is_dir() else str(source)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["cp", "--archive", "--reflink=auto", what, str(target)], check=True, timeout=_RUN_WITHIN_S
    )
