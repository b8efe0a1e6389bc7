"""Build the engine that the settings ask for, and warm it with a real photo.

Networks are imported only when one is asked for.  A checkpoint that cannot be used, or a device that is not
there, ends the worker: it never serves on something else (field report 33).
"""

import logging
from importlib.util import find_spec
from pathlib import Path

from shared.catalogue import EFFECTS
from shared.checkpoint_files import read_facts
from shared.checkpoints import CHECKPOINTS, MODELS, CheckpointError
from shared.engines import ENGINES
from shared.fetching import fetch
from shared.recipes import EffectRequest, Recipe
from shared.settings import Settings, SettingsError
from worker.matting import DeviceMissingError, MattingModel
from worker.matting.digests import Digests
from worker.matting.grabcut import GrabCut
from worker.pipeline import Artifact, render

log = logging.getLogger(__name__)

#: A real photo: a made-up one of a few pixels would not run what jobs run (field report 4).
_WARMUP_PHOTO = Path(__file__).with_name("warmup.jpg")

#: How long ``auto`` waits for a checkpoint to be fetched.
_FETCH_S = 20.0
#: What ``auto`` tries, in this order: on a CPU the large network takes much longer.
_AUTO = ("inspyrenet-fast", "inspyrenet-base")


def require_choice(settings: Settings) -> None:
    """Refuse to take what there is where customers are served: there, an engine is named.

    Raises
    ------
    SettingsError
        If the engine is ``auto`` and this is not one machine.
    """
    if settings.engine == "auto" and not settings.is_one_machine:
        raise SettingsError(
            [f"CUTOUT_ENGINE: auto is for one machine only; expected one of: {', '.join(ENGINES)}"]
        )


def build_engine(settings: Settings) -> MattingModel:
    """Return the engine of the settings.

    Raises
    ------
    CheckpointError
        If its checkpoint, or what it is installed with, cannot be used.
    DeviceMissingError
        If CUDA was asked for, and is not there or would not be used.
    PackageMissingError
        If the published package is asked for, and is not installed.
    """
    if settings.engine == "grabcut":
        return _grabcut(settings)
    if settings.engine == "auto":
        return _whatever_there_is(settings)
    if settings.engine == "transparent-background":
        return _load_package(settings)
    return _load_inspyrenet(settings.engine, _checkpoint(settings, settings.engine), settings.device)


def _whatever_there_is(settings: Settings) -> MattingModel:
    """Return InSPyReNet if its checkpoint is here or soon can be, else GrabCut, loudly."""
    if settings.checkpoint and _is_file(settings.checkpoint):
        return _load_inspyrenet(_engine_of(settings.checkpoint), settings.checkpoint, settings.device)
    try:
        engine, file = _found_or_fetched(settings)
    except CheckpointError as error:
        _require_no_cuda(settings, f", and for want of a checkpoint ({error}) there is none but")
        log.warning("engine.fallback", extra={"engine": GrabCut().name, "reason": str(error)})
        return GrabCut()
    return _load_inspyrenet(engine, file, settings.device)


def _grabcut(settings: Settings) -> GrabCut:
    _require_no_cuda(settings, " and CUTOUT_ENGINE")
    return GrabCut()


def _require_no_cuda(settings: Settings, so: str) -> None:
    """Refuse to run on the CPU, as GrabCut does, where CUDA was asked for."""
    if settings.device == "cuda":
        raise DeviceMissingError(
            f"CUTOUT_DEVICE is cuda{so} grabcut, which runs on the CPU alone. A worker never falls back to "
            "the CPU: name an engine that uses a GPU, with its checkpoint, or set CUTOUT_DEVICE=cpu."
        )


def _is_file(named: Path) -> bool:
    """Whether a file is meant, be it there or not: one that was named is not passed over."""
    return named.is_file() or (named.suffix in {".pth", ".safetensors"} and not named.is_dir())


def _engine_of(file: Path) -> str:
    """Return whose a file is: by its name, or by what it says if it was converted."""
    names = {name: c.engine for c in CHECKPOINTS.values() for name in (c.file, c.converted)}
    if file.name in names:
        return names[file.name]
    if file.suffix == ".safetensors" and file.is_file():
        return read_facts(file)["engine"]
    raise CheckpointError(
        f"CUTOUT_ENGINE=auto cannot tell which engine {file} is for. Name one: {', '.join(CHECKPOINTS)}."
    )


def _found_or_fetched(settings: Settings) -> tuple[str, Path]:
    _require_torch()
    folder = settings.checkpoint or MODELS
    for engine in _AUTO:
        if file := CHECKPOINTS[engine].find(folder):
            return engine, file
    if settings.checkpoint:
        raise CheckpointError(f"no checkpoint lies in the folder {folder}")
    fetched = fetch(CHECKPOINTS[_AUTO[0]], folder, lambda _have, _total: None, within_s=_FETCH_S)
    return _AUTO[0], fetched.file


def _checkpoint(settings: Settings, engine: str) -> Path:
    """Return the file that the settings name, or this machine's."""
    given = settings.checkpoint or MODELS
    if given.is_dir():
        return CHECKPOINTS[engine].find(given) or given / CHECKPOINTS[engine].file
    return given


def _published(settings: Settings, engine: str) -> Path:
    """Return the same, but as it was published: nobody else reads what we convert."""
    known, given = CHECKPOINTS[engine], settings.checkpoint or MODELS
    if given.is_dir():
        there = [given / name for name in (known.file, known.converted) if (given / name).is_file()]
        given = there[0] if there else given / known.file
    if given.suffix == ".safetensors":
        raise CheckpointError(
            f"{given} was converted, and the engine {settings.engine} takes {known.file} as published: "
            f"run `./cutout model fetch --engine {engine} --to {given.parent}`, and let CUTOUT_CHECKPOINT "
            "name that file or its folder."
        )
    return given


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise CheckpointError(
            "torch is not installed; `pip install --group torch -c constraints.txt` does it"
        )


def _load_inspyrenet(engine: str, file: Path, device: str) -> MattingModel:
    _require_torch()
    digests = Digests.begin(file)  # reads the file while torch is imported
    from worker.matting.inspyrenet_engine import load_inspyrenet  # noqa: PLC0415 - imports torch

    return load_inspyrenet(engine, digests, device)


def _load_package(settings: Settings) -> MattingModel:
    _require_torch()
    digests = Digests.begin(_published(settings, "inspyrenet-base"))
    from worker.matting.transparent_background import load_package  # noqa: PLC0415 - imports torch

    return load_package(digests, settings.device)


def warm(model: MattingModel) -> None:
    """Run the whole pipeline once, every effect included, exactly as a job would."""
    effects = tuple(EffectRequest(name=name) for name in EFFECTS)
    render(_WARMUP_PHOTO.read_bytes(), Recipe(effects=effects), model, checkpoint=_go_on, keep=_drop)


def _go_on(_stage: str) -> None: ...


def _drop(_artifact: Artifact) -> None: ...
