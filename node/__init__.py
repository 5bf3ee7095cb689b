"""The node: one process that trains, audits, claims and is paid."""

import contextlib
import sys

_limit = sys.getrecursionlimit()
with contextlib.suppress(ModuleNotFoundError):
    # eth-account imports it, and it raises the limit to 100,000: then some kilobytes of nested JSON would overflow the
    # C stack, which ends the process, where they should raise RecursionError. It does so once, so once is undone here.
    import py_ecc  # noqa: F401
sys.setrecursionlimit(_limit)
