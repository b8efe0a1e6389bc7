"""The published package in a process of its own, which may have an environment of its own.

One JSON line asks, one JSON line answers; arrays go through files.  Used by ``model verify``, by the parity
tests and by the benchmark.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent.parent

#: Where ``make reference`` puts the package, if it is not installed beside us.
_ENVIRONMENT = ROOT / ".venv-reference" / "bin" / "python"


class PackageError(Exception):
    """The package does not answer; the text says why."""


class PackageMissingError(PackageError):
    """The package is not installed; the text says how to install it."""


class PackageEndedError(PackageError):
    """The package's process has ended; what it wrote to standard error says why."""


def package_python() -> Path:
    """Return the interpreter that has the package.

    Raises
    ------
    PackageMissingError
        If there is none.
    """
    if not _ENVIRONMENT.exists():
        raise PackageMissingError(
            f"This needs the package transparent-background, in {_ENVIRONMENT.parent.parent}; "
            "run `make reference` first."
        )
    return _ENVIRONMENT


@dataclass
class Package:
    """The client's side; use it as a context."""

    side: str = __name__  #: the module that answers
    _process: subprocess.Popen[str] | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _calls: int = field(default=0)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="package-")
        self._process = subprocess.Popen(
            # One of the packages it brings asks the network at import whether it is the newest.
            ["env", "NO_ALBUMENTATIONS_UPDATE=1", str(package_python()), "-m", self.side],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process:
            self._process.communicate()  # end of input ends it
        if self._folder:
            self._folder.cleanup()

    def load(self, checkpoint: Path, side_px: int) -> float:
        """Build the network with these weights; return the seconds it took."""
        # The process runs in a folder of its own, not in the caller's.
        return self._ask("load", checkpoint=str(checkpoint.absolute()), side_px=side_px)

    def saliency(
        self, squares: NDArray[np.uint8], *, bfloat16: bool = False
    ) -> tuple[NDArray[np.float32], float]:
        """Return the stretched map of each photo, one at a time, and the seconds that they took.

        Parameters
        ----------
        squares
            (N, side, side, 3).
        bfloat16
            Whether torch may calculate in bfloat16 where it thinks that it can.
        """
        return self._ask_arrays("saliency", squares, bfloat16=bfloat16)

    def foreground(
        self, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], float]:
        """Return pymatting's foreground, (H, W, 3) in [0, 1], and the seconds it took as the package asks."""
        return self._ask_arrays("foreground", np.dstack([rgb, alpha]))

    def _ask_arrays(self, call: str, given: NDArray[Any], **arguments: Any) -> tuple[NDArray[Any], float]:
        self._calls += 1
        stem = Path(self._folder.name if self._folder else "") / str(self._calls)
        source, target = stem.with_suffix(".in.npy"), stem.with_suffix(".out.npy")
        np.save(source, given)
        seconds = self._ask(call, given=str(source), to=str(target), **arguments)
        found: NDArray[Any] = np.load(target)
        source.unlink()
        target.unlink()
        return found, seconds

    def _ask(self, call: str, **arguments: Any) -> float:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the package's process is used as a context")
        with suppress(BrokenPipeError):  # then there is no answer either
            print(json.dumps({"call": call, **arguments}), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise PackageEndedError(f"The package's process ended over {call}; its last words are above.")
        return float(json.loads(answer)["seconds"])


@dataclass
class Server:
    """The package's side."""

    network: Any = None

    def calls(self) -> dict[str, Callable[..., float]]:
        """Return what can be asked, by its name; each gives the seconds that it took."""
        return {"load": self._load, "saliency": self._saliency, "foreground": self._foreground}

    def serve(self) -> None:
        """Answer until nobody asks any more."""
        # What the package prints must not stand among the answers.
        answers, sys.stdout = sys.stdout, sys.stderr
        for line in sys.stdin:
            asked = json.loads(line)
            seconds = self.calls()[asked.pop("call")](**asked)
            print(json.dumps({"seconds": seconds}), file=answers, flush=True)

    def _load(self, checkpoint: str, side_px: int) -> float:
        from worker.matting.transparent_background import network  # noqa: PLC0415 - minutes without it

        began = time.perf_counter()
        self.network = network(Path(checkpoint), side_px, "cpu")
        return time.perf_counter() - began

    def _saliency(self, given: str, to: str, *, bfloat16: bool) -> float:
        import torch  # noqa: PLC0415 - as above

        from worker.matting.transparent_background import normalised  # noqa: PLC0415

        maps, seconds = [], 0.0
        for square in np.load(given):
            image = normalised(square)
            began = time.perf_counter()
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                saliency = self.network(image)
            seconds += time.perf_counter() - began
            maps.append(saliency[0, 0].float().numpy())
        np.save(to, np.stack(maps))
        return seconds

    def _foreground(self, given: str, to: str) -> float:
        from pymatting import estimate_foreground_ml  # noqa: PLC0415 - compiles itself for a minute

        photo = np.load(given)
        image, alpha = photo[..., :3] / 255.0, photo[..., 3].astype(np.float32) / 255
        began = time.perf_counter()
        found = estimate_foreground_ml(image, alpha)
        seconds = time.perf_counter() - began
        np.save(to, found.astype(np.float32))
        return seconds


if __name__ == "__main__":
    Server().serve()
