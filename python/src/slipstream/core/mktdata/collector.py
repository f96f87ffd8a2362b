"""A pause of Python's garbage collector while very many objects are made at once.

The collector looks through all young objects again and again as their number grows. Of a reply with 200,000
candles all stay, none is part of a cycle, and looking for some takes longer than making them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Keep the collector from running, if it is on."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
