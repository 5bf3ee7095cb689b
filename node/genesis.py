"""What a new network trains, from an operator's settings."""

from __future__ import annotations

import time

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from node.chain.deploy import Genesis
from node.config import Settings
from node.data.corpus import ensure_default
from node.training.work import Workshop


def workshop(settings: Settings) -> Workshop:
    """The configured model on the fastest exact engine of this machine, over the configured text.

    Raises:
        KernelError: no kernel computes exactly here. ManifestError, ShardError, DiskError: the text is unusable.
    """
    dataset = ensure_default(settings.data_path)
    engine = choose_engine(settings.threads or 0, settings.max_isa, time.perf_counter, devices=True)
    return Workshop(PRESETS[settings.preset], engine, dataset)


def genesis(settings: Settings) -> Genesis:
    """Program, text and start state of a network with these settings; errors as for `workshop`."""
    return workshop(settings).genesis()
