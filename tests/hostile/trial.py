"""Tries photos in a process of its own: what is said of each, how long it took, how much memory it held.

Of a customer's photo it says, too, whether what is decoded is what was sent.
Run as ``python -m tests.hostile.trial CORPUS FIRST STEP``.  It prints a JSON line before each photo and one
after it, so that whoever reads knows which one the process died of.
"""

import ctypes
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from shared.errors import ServiceError
from shared.photo_gate import inspect_photo
from tests.hostile.clean import Clean, every_clean_photo, shot
from tests.hostile.corpus import every_hostile_photo
from worker.decode import Photo, decode

CORPORA = {"hostile": every_hostile_photo, "clean": every_clean_photo}

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_libc = ctypes.CDLL(None)


def tried(data: bytes) -> tuple[dict[str, object], list[Photo]]:
    """Return what the gate, as the API asks it, and the decoder behind it say of a photo, and its pixels."""
    pixels: list[Photo] = []
    _libc.malloc_trim(0)
    _CLEAR.write_text("5")  # from here on the peak is counted
    before_mb = _memory_mb("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    gate = _verdict(lambda: inspect_photo(io.BytesIO(data), len(data)))
    decoded = gate if gate != "taken" else _verdict(lambda: pixels.append(decode(data)))
    found = {
        "gate": gate,
        "verdict": "decoded" if decoded == "taken" else decoded,
        "cpu_s": round(time.process_time() - cpu, 3),
        "wall_s": round(time.perf_counter() - wall, 3),
        "peak_mb": _memory_mb("VmHWM") - before_mb,
    }
    return found, pixels


def as_sent(clean: Clean, decoded: Photo) -> dict[str, object]:
    """Return whether a customer's photo has its size when decoded, and how far it is from the original."""
    found = Image.fromarray(decoded.rgb).convert("L").resize((16, 16), Image.Resampling.BOX)
    sent = shot(clean.name.split()[0]).convert("L").resize((16, 16), Image.Resampling.BOX)
    return {
        "has_its_size": (decoded.facts.width, decoded.facts.height) == clean.size,
        "differs_by": float(np.abs(np.asarray(found, float) - np.asarray(sent, float)).mean()),
    }


def _verdict(ask: Callable[[], object]) -> str:
    try:
        ask()
    except ServiceError as error:
        return error.slug
    except BaseException as error:  # noqa: BLE001 - what must not happen, and has to be told if it does
        return f"raised {error!r}"[:200]
    return "taken"


def _memory_mb(what: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(what))
    return round(int(line.split()[1]) * 1024 / 1e6)


def main(corpus: str, first: str, step: str) -> None:
    for photo in CORPORA[corpus]()[int(first) :: int(step)]:
        _tell({"trying": photo.name})
        found, pixels = tried(photo.make())
        shown = as_sent(photo, pixels[0]) if isinstance(photo, Clean) and pixels else {}
        _tell({"name": photo.name, "is_right": found["verdict"] in photo.verdicts, **found, **shown})
        del pixels  # not to be counted as the next one's


def _tell(fact: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
