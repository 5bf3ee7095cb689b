"""How much may be minted, and when: a cap an epoch that halves, a cap a node and day, a cap on the supply."""

from dataclasses import dataclass

from economics.networks import NetworkParameters
from economics.units import Epoch, Seconds, Wei


def epoch_of(timestamp: Seconds, start: Seconds, network: NetworkParameters) -> Epoch:
    """The epoch of a block time, 0 from deployment at ``start``. Raises ValueError before it."""
    if timestamp < start:
        raise ValueError("a time before deployment has no epoch")
    return Epoch((timestamp - start) // network.epoch_length)


def day_of(timestamp: Seconds, network: NetworkParameters) -> int:
    """The day of a block time, counted from the Unix epoch: the unit of the node's daily cap."""
    return timestamp // network.day_length


def epoch_cap(epoch: Epoch, network: NetworkParameters) -> Wei:
    """Most that epoch may mint: halved each ``halving_epochs``, rounded down, so 0 in the end."""
    return Wei(network.epoch_emission >> (epoch // network.halving_epochs))


def emission_ceiling(network: NetworkParameters) -> Wei:
    """Most that all epochs together may mint. With the genesis supply it stays within the supply cap."""
    halvings = network.epoch_emission.bit_length()
    return Wei(network.halving_epochs * sum(network.epoch_emission >> n for n in range(halvings)))


@dataclass(frozen=True, slots=True)
class Minted:
    """What has been minted already: in this epoch, to this node on this day, and the whole supply, in wei."""

    epoch: Wei
    node_day: Wei
    supply: Wei


def payable(reward: Wei, epoch: Epoch, minted: Minted, network: NetworkParameters) -> Wei:
    """The part of ``reward`` (capped for its claim already) that the remaining caps leave, in wei; never negative."""
    room = (
        epoch_cap(epoch, network) - minted.epoch,
        network.node_day_cap - minted.node_day,
        network.supply_cap - minted.supply,
    )
    return Wei(max(0, min(reward, *room)))
