"""What a dispute is about: one step of one claim, as both parties and the judge see it."""

from dataclasses import astuple, dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from eth_utils.address import to_checksum_address

from consensus.commitments import tree
from consensus.commitments.claim import Claim, ClaimKind
from consensus.errors import ProgramError
from consensus.model.config import ModelConfig
from consensus.program.infer import infer_program
from consensus.program.known import suite_of
from consensus.program.ops import Program
from consensus.program.outer import outer_program
from consensus.program.step import step_program
from consensus.program.suite import Suite, answer_suite, outer_leaves, outer_size
from consensus.program.update import update_program
from consensus.training.growth import Transition


class Stage(IntEnum):
    """Which program a dispute is about."""

    STEP = 0
    UPDATE = 1
    OUTER = 2
    ANSWER = 3


SETS_AFTER = {Stage.STEP: 3, Stage.UPDATE: 0, Stage.OUTER: 2, Stage.ANSWER: 0}
"""Tensor sets of the state that a program leaves; 0 where that is one lone set."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """One challenge after its answer; the contract's ``Dispute``. Roots have 32 bytes, the challenger's address 20."""

    claim: Claim
    challenger: bytes
    step: int
    before: bytes
    after: bytes
    batch: bytes
    loss_bits: int
    trace: bytes

    @property
    def stage(self) -> Stage:
        """The program in question."""
        if self.claim.kind is ClaimKind.OUTER:
            return Stage.OUTER
        if self.claim.kind is ClaimKind.ANSWER:
            return Stage.ANSWER
        return Stage.UPDATE if self.step == self.claim.steps else Stage.STEP

    def to_tuple(self) -> tuple[Any, ...]:
        """As the ABI takes it."""
        roots = (self.before, self.after, self.batch, self.loss_bits, self.trace)
        return (self.claim.to_tuple(), to_checksum_address(self.challenger), self.step, *roots)


@dataclass(frozen=True)
class Case:
    """A dispute and its program. ``finals``: the number of final claims that an outer step sums up; ``change``: of the
    vocabulary or the layers, that follows the round's outer step."""

    config: ModelConfig
    dispute: Dispute
    finals: int = 0
    change: Transition | None = None

    @cached_property
    def program(self) -> Program:
        """The program in question. Takes seconds the first time."""
        return program_of(self.config, self.dispute.stage, self.finals, self.change)

    @cached_property
    def suite(self) -> Suite:
        """What the claim's program hash stands for. Raises ProgramError where the claim names another."""
        answers = self.dispute.stage is Stage.ANSWER
        suite = answer_suite(self.config) if answers else suite_of(self.config, self.change)
        if suite.hash() != self.dispute.claim.program_hash:
            raise ProgramError("the claim names the programs of another network")
        return suite

    @property
    def tensors(self) -> list[str]:
        """Names of the model's tensors, in the order of their leaves."""
        return list(self.config.shapes())

    @property
    def tensors_after(self) -> list[str]:
        """The same of the state that the program leaves: others where an outer step ends with a growth of layers."""
        change = self.change if self.dispute.stage is Stage.OUTER else None
        return self.tensors if change is None else list(change.after(self.config).shapes())

    def to_tuple(self) -> tuple[Any, ...]:
        """The contract's ``Program``."""
        suite = astuple(self.suite)
        if self.dispute.stage is not Stage.OUTER:
            return (suite, 0, bytes(32), [])
        leaves = outer_leaves(self.config, self.suite.outer_count, self.change)
        proof = tree.inclusion_proof(leaves, self.finals - 1)
        return (suite, outer_size(self.program, self.config, self.change), self.program.root(), proof)


def program_of(config: ModelConfig, stage: Stage, finals: int = 0, change: Transition | None = None) -> Program:
    """The program of a stage; ``finals`` and ``change`` matter to the outer step only."""
    if stage is Stage.OUTER:
        return outer_program(config, finals, change)
    if stage is Stage.ANSWER:
        return infer_program(config)
    return update_program(config) if stage is Stage.UPDATE else step_program(config)
