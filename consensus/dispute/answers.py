"""A server's answer as a claim: what it signs, what each of its leaves holds, and where it is first wrong.

An ANSWER claim reads its fields so: ``round``, unix seconds of its signature; ``data_root``, the prompt's root;
``start_root``, the model's global root; ``end_root``, the request; ``update_root``, the seed of its draws; ``steps``,
the tokens of the answer; ``tokens``, fp32 bits of the factor on logits (upper 32 bits), tokens of the prompt (lower);
``base``, 0.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.tensors import tensor_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.dispute.game import Dispute
from consensus.errors import ClaimError, InferenceError
from consensus.inference.answer import check_request, feed
from consensus.inference.decoding import Decoder, Row
from consensus.inference.sampling import Settings
from consensus.inference.task import TOP_P_ALL, prompt_root
from consensus.model.config import ModelConfig
from consensus.program.infer import infer_inputs
from consensus.program.suite import answer_suite

NO_STATE = bytes(32)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and what it follows from. ``model_root`` and ``request`` have 32 bytes; only whole distributions
    (``settings.top_p_bps`` = 10000) can be judged: others raise InferenceError."""

    config: ModelConfig
    model_root: bytes
    request: bytes
    prompt: tuple[int, ...]
    settings: Settings
    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        check_request(self.config.seq_len, self.config.vocab, self.prompt, len(self.tokens))
        if self.settings.top_p_bps != TOP_P_ALL:
            raise InferenceError("an answer drawn with top_p cannot be disputed", "Ask with top_p 1.")

    def leaves(self) -> tuple[StepLeaf, ...]:
        """One leaf a token: no state, the root of its context, the token, its number."""
        roots = (context_root(self.config, self.context(step)) for step in range(len(self.tokens)))
        return tuple(StepLeaf(NO_STATE, root, self.tokens[step], step) for step, root in enumerate(roots))

    def context(self, step: int) -> tuple[int, ...]:
        """The ids that token ``step`` follows."""
        return self.prompt + self.tokens[:step]

    def claim(self, server: bytes, signed_at: int, leaves: Sequence[StepLeaf] = ()) -> Claim:
        """What the server (20 bytes) signs at ``signed_at``; a payer that computes another claim refuses it."""
        factor = int.from_bytes(struct.pack(">f", self.settings.choice(0).multiplier), "big")
        return Claim(
            kind=ClaimKind.ANSWER,
            round=signed_at,
            node=server,
            program_hash=answer_suite(self.config).hash(),
            data_root=prompt_root(self.prompt),
            start_root=self.model_root,
            end_root=self.request,
            trace_root=Trace(leaves or self.leaves()).root(),
            update_root=self.settings.draw_seed,
            steps=len(self.tokens),
            tokens=factor << 32 | len(self.prompt),
            first_layer=0,
            layer_count=self.config.layers,
            base=0,
        )

    def first_wrong(self, decoder: Decoder) -> int | None:
        """The first token that does not follow from those before it; None where all do. Uses slot 0 of ``decoder``."""
        rows = [Row(0, place, token) for place, token in enumerate(self.prompt)]
        for step, token in enumerate(self.tokens):
            rows[-1].choice = self.settings.choice(step)
            if feed(decoder, rows) != [token]:
                return step
            rows = [Row(0, len(self.prompt) + step, token)]
        return None

    def inputs(self, weights: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """The program's inputs for token ``step``."""
        return infer_inputs(self.config, weights, self.context(step), self.settings.choice(step))


def context_root(config: ModelConfig, context: Sequence[int]) -> bytes:
    """Tensor root of a context, int32 [1, seq_len] with zeros after its last token."""
    tokens = torch.zeros(config.seq_len, dtype=torch.int32)
    tokens[: len(context)] = torch.tensor(context, dtype=torch.int32)
    return tensor_root(tokens)


def answer_dispute(claim: Claim, challenger: bytes, leaf: StepLeaf, trace: bytes) -> Dispute:
    """The game that the answer to an accusation opens. Raises ClaimError where the claim is no answer."""
    if claim.kind is not ClaimKind.ANSWER:
        raise ClaimError(f"a {claim.kind.name} claim is no answer")
    return Dispute(claim, challenger, leaf.step, claim.start_root, NO_STATE, leaf.batch_root, leaf.loss_bits, trace)
