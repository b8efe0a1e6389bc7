"""Lets a coverage-guided fuzzer look for a file that the gate answers with anything but a verdict.

Run as ``python -m tests.hostile.fuzz SECONDS``, or ``make fuzz``.  It starts from the hostile photos; what it
finds lies in ``.cutout/fuzz``: such a file becomes a hostile photo in ``tests/hostile``.
"""

import io
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["shared", "PIL", "pillow_heif"]):
    from shared.errors import PermanentError
    from shared.photo_gate import MAX_PIXELS, MAX_SIDE_PX, MIN_SIDE_PX, PhotoFacts, inspect_photo

FOLDER = Path(__file__).resolve().parent.parent.parent / ".cutout" / "fuzz"
#: Larger ones teach nothing about headers, and slow everything down.
MOST_BYTES = 40_000
MOST_S, MOST_MB = 5, 500


def try_one(data: bytes) -> None:
    """Raise if the gate answers with anything but facts that it may give, or one of its errors."""
    try:
        facts = inspect_photo(io.BytesIO(data), len(data))
    except PermanentError as error:
        require(400 <= error.status < 500, error.slug)
    else:
        require_possible(facts)


def require_possible(facts: PhotoFacts) -> None:
    shorter, longer = sorted((facts.width, facts.height))
    require(MIN_SIDE_PX <= shorter <= longer <= MAX_SIDE_PX, facts)
    require(shorter * longer <= MAX_PIXELS, facts)
    require(1 <= facts.orientation <= 8, facts)


def require(is_so: bool, what: object) -> None:
    if not is_so:
        raise AssertionError(what)


def main(seconds: str) -> None:
    seeds, found = FOLDER / "corpus", FOLDER / "found"
    found.mkdir(parents=True, exist_ok=True)
    # In a process of its own: making the large ones takes memory that would count as the gate's.
    subprocess.run([sys.executable, "-m", "tests.hostile.seeds", str(seeds), str(MOST_BYTES)], check=True)
    limits = [f"-max_total_time={seconds}", f"-timeout={MOST_S}", f"-rss_limit_mb={MOST_MB}"]
    options = [f"-max_len={MOST_BYTES}", "-print_final_stats=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *limits, *options, str(seeds)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
