"""The demonstration's times on this machine: five nodes share its cores, and each must audit the others in a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from consensus.training.step import TrainState
from economics.networks import DEVNET, NetworkParameters
from economics.units import Seconds
from node.training.work import Task, Workshop

STEP_SECONDS: Final = 0.03
"""A committed step of `tiny` on a machine where devnet's own window is long enough."""
SLOWEST: Final = 4
"""Windows are stretched so many times at most."""


def paced(shop: Workshop, clock: Callable[[], float]) -> NetworkParameters:
    """Devnet's parameters; windows, answers and thaw stretched by as many times as a step takes longer here."""
    state, task = TrainState.start(shop.genesis_state().weights), Task(bytes(32), bytes(20))
    shop.step(state, task)  # the first one makes the engine's room
    started = clock()
    shop.step(state, task)
    factor = min(SLOWEST, max(1, round((clock() - started) / STEP_SECONDS)))
    return replace(
        DEVNET,
        window=Seconds(factor * DEVNET.window),
        response=Seconds(factor * DEVNET.response),
        extension=Seconds(factor * DEVNET.extension),
        thaw=Seconds(factor * DEVNET.thaw),
    )
