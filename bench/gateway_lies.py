"""Volunteers that lie to a gateway, each in its own way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.gateway_house import House, Trained
from consensus.aggregation.compression import ErrorFeedback
from consensus.commitments.batch import batch_root
from consensus.commitments.trace import StepLeaf, loss_bits, loss_value
from node.gateway import wire
from node.gateway.payload import CODECS, raw_bytes, tensors_hash
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import BatchOffer, Receipt
from node.gateway.storage.tables import Worker

Lie = Callable[[House, BatchOffer, "Ring"], Trained]
REFUSED = {Code.NO_WORK, Code.QUARANTINED, Code.LEASE}


@dataclass
class Ring:
    """What liars know together: true updates that they computed, and what they sent."""

    draw: random.Random
    true: list[dict[str, Tensor]] = field(default_factory=list)
    sent: list[Trained] = field(default_factory=list)

    def learn(self, house: House, offer: BatchOffer) -> Trained:
        """Train the batch, for the others too."""
        done = house.train(offer)
        self.true = [*self.true, done.update][-8:]
        return done

    def mean(self) -> dict[str, Tensor]:
        return {name: torch.stack([u[name] for u in self.true]).mean(0) for name in self.true[0]}


def sign_flip(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """The true steps, the update backwards."""
    done = ring.learn(house, offer)
    return replace(done, update={name: -t for name, t in done.update.items()})


def scaling(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """The update backwards, a thousand times as large."""
    done = ring.learn(house, offer)
    return replace(done, update={name: t * -1000.0 for name, t in done.update.items()})


def inner_product(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """Inner-product manipulation (Xie, Koyejo & Gupta 2020): minus half of the mean."""
    done = ring.learn(house, offer)
    return replace(done, update={name: t * -0.5 for name, t in ring.mean().items()})


def little_is_enough(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """A little is enough (Baruch, Baruch & Goldberg 2019): the mean less 1.5 deviations of each coordinate."""
    done = ring.learn(house, offer)
    mean = ring.mean()
    if len(ring.true) < 3:
        return done
    spread = {name: torch.stack([u[name] for u in ring.true]).std(0) for name in mean}
    return replace(done, update={name: m - 1.5 * spread[name] for name, m in mean.items()})


def noise(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """No training: made-up states and losses over the right text, and noise of a usual size."""
    leaves, losses = [], 5.5
    for step, tokens in enumerate(house.tokens(offer)):
        root = hashlib.sha256(f"{offer.batch_id} {step}".encode()).digest()
        losses -= 0.02 * ring.draw.random()
        loss = float(torch.tensor(losses))
        leaves.append(StepLeaf(root, batch_root(tokens.numpy()), loss_bits(loss), step))
    size, made = 0.002 * offer.steps, torch.Generator().manual_seed(ring.draw.getrandbits(32))
    shapes = house.config.shapes()
    update = {name: (torch.rand(shape, generator=made) - 0.5) * size for name, shape in shapes.items()}
    return Trained(update, leaves)


def copy(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """Somebody's earlier upload again, with the text's roots put right."""
    if not ring.sent:
        ring.sent.append(ring.learn(house, offer))
        return ring.sent[0]
    old = ring.sent[0]
    tokens = house.tokens(offer)
    leaves = [replace(old.leaves[at % len(old.leaves)], step=at) for at in range(offer.steps)]
    return replace(old, leaves=[replace(leaf, batch_root=batch_root(tokens[leaf.step].numpy())) for leaf in leaves])


def lazy(house: House, offer: BatchOffer, ring: Ring) -> Trained:
    """All but the last quarter of the steps, then made-up states and an update that is stretched."""
    done = ring.learn(house, offer)
    real = len(done.leaves) * 3 // 4
    last = loss_value(done.leaves[real - 1].loss_bits)
    made = [
        replace(leaf, state_root=hashlib.sha256(leaf.state_root).digest(), loss_bits=loss_bits(last))
        for leaf in done.leaves[real:]
    ]
    stretched = {name: t * (len(done.leaves) / real) for name, t in done.update.items()}
    return Trained(stretched, [*done.leaves[:real], *made])


LIES: Mapping[str, Lie] = {
    "sign_flip": sign_flip,
    "scaling": scaling,
    "inner_product": inner_product,
    "little_is_enough": little_is_enough,
    "noise": noise,
    "copy": copy,
    "lazy": lazy,
}


class Volunteer:
    """One account; without a lie, and before version `lies_from`, it is honest. It keeps error feedback where it is
    offered. `lies`: ids of uploads that were not what the batch gives."""

    def __init__(
        self, house: House, name: str, lie: Lie | None = None, ring: Ring | None = None, lies_from: int = 0
    ) -> None:
        self.house, self.lie, self.ring, self.lies_from = house, lie, ring, lies_from
        self.worker: Worker = house.worker(name)
        self.left: ErrorFeedback | None = None
        self.lies: set[str] = set()
        self.waiting: tuple[Receipt, ErrorFeedback] | None = None

    def turn(self) -> bool:
        """Ask for a batch and send something; whether anything was sent."""
        self._settle()
        try:
            offer = self.house.request(self.worker)
        except ProblemError as error:
            if error.code not in REFUSED:
                raise
            return False
        if self.lie is None or self.ring is None or self.house.current().number < self.lies_from:
            done = self.house.train(offer)
        else:
            done = self.lie(self.house, offer, self.ring)
        if offer.residual == "carried":
            receipt = self._carry(offer, done)
        else:
            receipt = self.house.upload(self.worker, offer, done.leaves, done.update)
        if done is not self.house.train(offer):
            self.lies.add(receipt.update_id)
        return True

    def _carry(self, offer: BatchOffer, done: Trained) -> Receipt:
        before = self.left or ErrorFeedback.start(done.update)
        sent = before.send(CODECS[offer.codec], done.update)
        chain = {
            "residual_in": tensors_hash(before.left).hex(),
            "residual_out": tensors_hash(sent.feedback.left).hex(),
        }
        meta = self.house.meta(self.worker, offer, done.leaves, sent.data, **chain)
        receipt = self.house.send(self.worker, meta, sent.data)
        if receipt.reveal_residual:
            data = raw_bytes(before.left)
            path = self.house.spooled(lambda file: wire.write_zstd(file, data))
            self.house.intake.residual(self.worker, receipt.update_id, path)
        self.left, self.waiting = sent.feedback, (receipt, before)
        return receipt

    def _settle(self) -> None:
        """After a refusal, error feedback goes on from the upload before."""
        if self.waiting is not None:
            receipt, before = self.waiting
            if self.house.update(receipt).state == "rejected":
                self.left = before
            self.waiting = None
