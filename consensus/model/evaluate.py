"""Exact loss without training: the same on every machine, like everything else here."""

from torch import Tensor

from consensus.arithmetic.engine import Count, Engine
from consensus.model.config import ModelConfig
from consensus.model.gpt import forward, pack


def mean_loss(engine: Engine, config: ModelConfig, weights: dict[str, Tensor], tokens: Tensor) -> float:
    """Mean loss in nats a token of tokens [N, seq_len + 1] int32, for any N >= 1, a micro-batch at a time."""
    weights, tokens = {name: w.to(engine.device) for name, w in weights.items()}, tokens.to(engine.device)
    packed = pack(engine, weights)
    total: Count = 0
    for at in range(0, tokens.shape[0], config.micro_batch):
        rows = tokens[at : at + config.micro_batch]
        engine.begin()
        logits, *_ = forward(engine, config, weights, packed, rows[:, :-1].contiguous())
        _, summed = engine.cross_entropy(logits, rows[:, 1:].contiguous().reshape(-1), 1.0)
        total += summed
    return int(total) / (tokens.shape[0] * config.seq_len) / 65536.0
