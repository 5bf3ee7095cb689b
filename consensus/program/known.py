"""The suites of the presets, so that a node need not capture its programs until a dispute does.

Written by tools/programs.py.
"""

from functools import cache
from typing import Final

from consensus.model.config import PRESETS, ModelConfig
from consensus.program.suite import Suite
from consensus.training.growth import Transition

_ROOT: Final = bytes.fromhex

KNOWN: Final[dict[ModelConfig, Suite]] = {
    PRESETS["tiny"]: Suite(
        tensors=19,
        step_ops=4992,
        step_root=_ROOT("cb9ec805c3a718c61e7c1e661c068382bf4841a776c92c12a7124834971cb816"),
        update_ops=817,
        update_root=_ROOT("8a986c7d65a2f890de764684db5d764a9e594e2a04da88a208ce9226378eebd7"),
        outer_count=16,
        outer_root=_ROOT("5b903fd074f6a2a8de19b00533aac78bc326da5e03cf06d4f632680432d5c412"),
        schedule_steps=1000,
        schedule_root=_ROOT("a067f47322e2bf5627cb76bb1224e113e36323e789160f08845ea21114a491c3"),
        sequences=8,
        length=129,
        layer_segments=69,
        layers_root=_ROOT("0e34cf84996ec82635e5b1a3a3c5ec3db05f2c60c91c6993c8b454ada600eb1b"),
    ),
    PRESETS["small"]: Suite(
        tensors=27,
        step_ops=60382,
        step_root=_ROOT("a4a0c4a90b34113e62fb25afc9b529dcc004c1a8a4eac35823ba1c5eb6bf5a18"),
        update_ops=1161,
        update_root=_ROOT("a7c780662a6117ccba6628b2b2721c04ae152bfd6582ad18baf2b7c1d6026134"),
        outer_count=16,
        outer_root=_ROOT("cb89786d9b39a220d09dbf46e3fe711fa34a9cf4b30e0aa590142407952f5c57"),
        schedule_steps=1000,
        schedule_root=_ROOT("a067f47322e2bf5627cb76bb1224e113e36323e789160f08845ea21114a491c3"),
        sequences=32,
        length=257,
        layer_segments=261,
        layers_root=_ROOT("60991810d40bd7502da74bd9438de44622c55cde4933f7972b0ff46ba24a11d6"),
    ),
    PRESETS["base"]: Suite(
        tensors=43,
        step_ops=563584,
        step_root=_ROOT("99a7ed3d0ea1355e3bfb735e3bcba176787335cd3220983195205e04612afda2"),
        update_ops=1849,
        update_root=_ROOT("fd30495de1a69fc75448c91a8baa2918cde25839cdcca972b3c2207d33641375"),
        outer_count=16,
        outer_root=_ROOT("658e708ff0ce749b7941a95e264e35e9ceea719fcaa83837ecfc7d71ba6d7196"),
        schedule_steps=1000,
        schedule_root=_ROOT("a067f47322e2bf5627cb76bb1224e113e36323e789160f08845ea21114a491c3"),
        sequences=64,
        length=513,
        layer_segments=1381,
        layers_root=_ROOT("66ed8378a163def55745537b69f969af86939468beacf58401aeb79685bc97f6"),
    ),
}


@cache
def suite_of(config: ModelConfig, change: Transition | None = None) -> Suite:
    """What claims about an architecture name, in a round that ends with ``change``; captured where it is no preset."""
    return (KNOWN.get(config) or Suite.of(config)) if change is None else suite_of(config).changing(config, change)
