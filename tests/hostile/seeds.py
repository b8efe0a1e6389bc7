"""Writes the hostile photos up to a size as files, for a fuzzer to start from.

Run as ``python -m tests.hostile.seeds FOLDER MOST_BYTES``.
"""

import sys
from pathlib import Path

from tests.hostile.corpus import every_hostile_photo


def main(folder: str, most_bytes: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, hostile in enumerate(every_hostile_photo()):
        data = hostile.make()
        if len(data) <= int(most_bytes):
            (Path(folder) / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
