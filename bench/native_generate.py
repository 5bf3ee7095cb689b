"""The reference to beat when serving: the same model in plain fp32 PyTorch with a KV cache, as one would write it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from consensus.model.config import ModelConfig


class NativeGenerator:
    """Eager PyTorch: preallocated caches, the library's own attention and norm, one batch of equal prompts."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
        self.config, self.weights = config, dict(weights)

    @torch.inference_mode()
    def generate(self, prompts: Tensor, tokens: int, temperature: float) -> Tensor:
        """prompts [B, P] int64 → drawn tokens [B, tokens]."""
        c, b = self.config, prompts.shape[0]
        shape = (c.layers, 2, b, c.heads, prompts.shape[1] + tokens, c.head_width)
        cache, at, fed = torch.empty(shape), 0, prompts
        drawn = torch.empty(b, tokens, dtype=torch.int64)
        for i in range(tokens):
            logits = self._step(fed, cache, at)
            at += fed.shape[1]
            fed = torch.multinomial(F.softmax(logits / temperature, -1), 1)
            drawn[:, i] = fed[:, 0]
        return drawn

    def _step(self, tokens: Tensor, cache: Tensor, at: int) -> Tensor:
        """tokens [B, T] at places at … at + T - 1 → logits [B, vocab] of the last."""
        w, c = self.weights, self.config
        b, t = tokens.shape
        x = F.embedding(tokens, w["embed"]) + w["position"][at : at + t]
        for i in range(c.layers):
            name = f"layer{i:03d}."
            qkv = F.linear(_norm(x), w[name + "attn_in"]).view(b, t, 3, c.heads, c.head_width)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            keys, values = cache[i, 0], cache[i, 1]
            keys[:, :, at : at + t] = k
            values[:, :, at : at + t] = v
            o = F.scaled_dot_product_attention(q, keys[:, :, : at + t], values[:, :, : at + t], is_causal=t > 1)
            x = x + F.linear(o.transpose(1, 2).reshape(b, t, c.width), w[name + "attn_out"])
            h = F.relu(F.linear(_norm(x), w[name + "mlp_in"])).square()
            x = x + F.linear(h, w[name + "mlp_out"])
        return F.linear(_norm(x[:, -1]), w["head"])


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=1e-5)
