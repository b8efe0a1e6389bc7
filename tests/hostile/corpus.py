"""Files that mean harm or met with some: each is made from its name alone, the same every time.

Nothing is made before it is asked for: some are large.
"""

import random

from tests.hostile.damage import flipped, lies, truncated
from tests.hostile.heics import heics
from tests.hostile.jpegs import jpegs
from tests.hostile.parts import Hostile
from tests.hostile.pngs import pngs
from tests.hostile.sizes import bombs, sizes
from tests.hostile.strangers import polyglots, strangers
from tests.hostile.webps import webps


def every_hostile_photo() -> list[Hostile]:
    """Return all of them, in an order that spreads the slow ones."""
    groups = (truncated, flipped, lies, sizes, bombs, jpegs, pngs, webps, heics, polyglots, strangers)
    found = [hostile for group in groups for hostile in group()]
    random.Random(5).shuffle(found)
    return found
