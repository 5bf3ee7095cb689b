"""The reference to beat: the same model in plain fp32 PyTorch, as one would write it for speed."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW


class Native:
    """Same shapes, same initial weights, same batches; the library's own attention, norm and fused AdamW.

    ``micro`` sequences go through at a time and their gradients add up; 0 takes the whole batch at once.
    """

    def __init__(self, config: ModelConfig, weights: dict[str, Tensor], micro: int = 0) -> None:
        self.config, self.micro = config, micro or config.batch
        self.weights = {name: w.clone().requires_grad_() for name, w in weights.items()}
        self._settings = AdamW()
        s = self._settings
        self._optimizer = torch.optim.AdamW(
            self.weights.values(), lr=s.lr, betas=(s.beta1, s.beta2), eps=s.eps, weight_decay=s.weight_decay, fused=True
        )
        self._step = 0

    def step(self, tokens: Tensor) -> float:
        """tokens [batch, seq_len + 1]; one AdamW step; the mean loss in nats."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.lr * min(self._step + 1, self._settings.warmup) / self._settings.warmup
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for at in range(0, self.config.batch, self.micro):
            loss = self.loss(tokens[at : at + self.micro].long()) * (self.micro / self.config.batch)
            loss.backward()
            total += float(loss.detach())
        self._optimizer.step()
        self._step += 1
        return total

    def loss(self, tokens: Tensor) -> Tensor:
        """tokens [B, T + 1] int64 -> mean loss in nats."""
        w, c = self.weights, self.config
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        b, t = inputs.shape
        x = F.embedding(inputs, w["embed"]) + w["position"]
        for i in range(c.layers):
            name = f"layer{i:03d}."
            qkv = F.linear(_norm(x), w[name + "attn_in"]).view(b, t, 3, c.heads, c.head_width)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(o.transpose(1, 2).reshape(b, t, c.width), w[name + "attn_out"])
            h = F.relu(F.linear(_norm(x), w[name + "mlp_in"])).square()
            x = x + F.linear(h, w[name + "mlp_out"])
        logits = F.linear(_norm(x), w["head"])
        return F.cross_entropy(logits.reshape(b * t, -1), targets.reshape(-1))

    @torch.no_grad()
    def mean_loss(self, tokens: Tensor) -> float:
        """Mean loss on tokens [N, T + 1], a few sequences at a time."""
        losses = [float(self.loss(part.long())) * len(part) for part in tokens.split(16)]
        return sum(losses) / len(tokens)


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=1e-5)
