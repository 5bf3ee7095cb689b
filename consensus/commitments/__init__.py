"""Commitments: trees, roots, traces, claims. ``tensors`` and ``openings`` import PyTorch; what stands here does not."""

from consensus.commitments.claim import Claim, ClaimKind, claim_hash, struct_hash
from consensus.commitments.trace import StepLeaf, Trace, loss_bits, loss_value
from consensus.commitments.tree import inclusion_proof, leaf_hash, node_hash, root, verify_inclusion

__all__ = [
    "Claim",
    "ClaimKind",
    "StepLeaf",
    "Trace",
    "claim_hash",
    "inclusion_proof",
    "leaf_hash",
    "loss_bits",
    "loss_value",
    "node_hash",
    "root",
    "struct_hash",
    "verify_inclusion",
]
