"""When garbage is collected: beside the pages, and not among what lives as long as the process.

Streamlit collects after every run of a page, walking every object there is: a hundred milliseconds, where the imports
and the cached figures are a million objects. It is told not to, and this is done instead.
"""

import gc
from typing import Final

EVERY_S: Final = 10.0
"""How often to collect. What is young is collected by Python itself, as ever."""

UNSETTLED: Final = 100_000
"""So many objects are walked in about ten milliseconds: where more of them stay, what is there is set aside."""


def collect() -> None:
    """Collect what has come since the last time, and set aside what stays once there is much of it."""
    gc.collect()
    # A new generation brings figures that stay, and readers bring sessions that go: neither needs to be told here.
    # Counted in one call into C, within which no other thread runs: a tuple that one is still building must not be in
    # the list when it goes on, or Python takes it for shared and raises SystemError there.
    if max(map(len, map(gc.get_objects, (2,)))) > UNSETTLED:
        settle()


def settle() -> None:
    """Set aside all that lives: it is not walked again before the next time, when what has died of it is collected."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
