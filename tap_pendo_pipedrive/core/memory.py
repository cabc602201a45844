"""Keep the memory of a long run flat, and the time that goes into managing it small."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import typing as t

#: glibc's number for the largest number of arenas ("mallopt(3)").
M_ARENA_MAX: t.Final = -8


def prepare() -> None:
    """Tell the garbage collector and the allocator what kind of run this is."""
    # Records hold no cycles; to look for some in all of them takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    # glibc gives threads arenas of their own, which keep what pages once needed. Elsewhere there
    # is no such function, and no such arenas.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
