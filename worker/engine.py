"""Build the engine that the settings ask for, and warm it with a real photo."""

import logging
from pathlib import Path

from shared.catalogue import EFFECTS
from shared.engines import ENGINES
from shared.recipes import EffectRequest, Recipe
from shared.settings import Settings, SettingsError
from worker.matting import MattingModel
from worker.matting.grabcut import GrabCut
from worker.pipeline import Artifact, render

log = logging.getLogger(__name__)

#: A real photo: a made-up one of a few pixels would not run what jobs run (field report 4).
_WARMUP_PHOTO = Path(__file__).with_name("warmup.jpg")


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
    """Return the engine of the settings; ``auto`` takes GrabCut, loudly, while there is no better one."""
    engine = GrabCut()
    if settings.engine == "auto":
        log.warning("engine.fallback", extra={"engine": engine.name, "reason": "no checkpoint was found"})
    return engine


def warm(model: MattingModel) -> None:
    """Run the whole pipeline once, every effect included, exactly as a job would."""
    effects = tuple(EffectRequest(name=name) for name in EFFECTS)
    render(_WARMUP_PHOTO.read_bytes(), Recipe(effects=effects), model, checkpoint=_go_on, keep=_drop)


def _go_on(_stage: str) -> None: ...


def _drop(_artifact: Artifact) -> None: ...
