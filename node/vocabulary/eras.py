"""What each round runs, as workshops: one for each pair of current and target version."""

from __future__ import annotations

import threading
from dataclasses import replace

from consensus.errors import ConsensusError
from consensus.program.known import suite_of
from governance.activation import Era, Version
from governance.tokenizer import Encoder
from node.chain.types import Round
from node.data.dataset import Dataset
from node.data.versioned import versioned
from node.errors import PonwError
from node.logs import get_logger
from node.training.work import Workshop
from node.vocabulary.errors import OtherVersionError
from node.vocabulary.versions import Versions

log = get_logger("vocabulary")


class Eras:
    """Workshops by version and target, over one engine. Used by one thread, like the engine.

    A dataset is built when a round first needs it, and for the version that a transition leads to in the background,
    while the transition's round is being trained. Program hashes are recomputed in the background too: `failure` is
    what was found wrong.
    """

    def __init__(self, base: Workshop, versions: Versions) -> None:
        self._base, self._versions = base, versions
        self._shops: dict[tuple[int, int], Workshop] = {(0, 0): base}
        self._datasets: dict[int, Dataset] = {0: base.dataset}
        self._checks: dict[tuple[int, int], threading.Thread] = {}
        self.failure: PonwError | None = None

    def of(self, info: Round) -> Workshop:
        """What this round trains and how its outer step ends.

        Raises:
            OtherVersionError: the chain's version is not what this node makes of its events.
            ManifestError, ShardError, DiskError: its dataset cannot be built or read.
        """
        return self._shop(info.version, info.target)

    def after(self, info: Round, stepped: bool) -> Workshop:
        """What the round after this one trains; `stepped`: whether this one ended with an outer step."""
        settled = info.target if stepped else info.version
        return self._shop(settled, settled)

    def check(self, info: Round, terms: tuple[bytes, bytes]) -> None:
        """Compare a round's terms (program hash, data root) with what this node runs in it: the text at once, the
        programs in the background.

        Raises:
            OtherVersionError: the dataset has another root. What the background has found is in `failure`.
        """
        key, shop = (info.version, info.target), self.of(info)
        if key == (0, 0) or key in self._checks:
            return  # the network's first terms were checked when the node started
        program_hash, data_root = terms
        if shop.dataset.root != data_root:
            raise _other(info, "text", shop.dataset.root, data_root)
        into = self._versions.upto(info.target)[info.target]
        arguments = (info, shop, into, program_hash)
        thread = threading.Thread(target=self._check, args=arguments, name="versions", daemon=True)
        self._checks[key] = thread
        thread.start()

    def join(self) -> None:
        """Wait until the background is done; raises what it found."""
        for thread in self._checks.values():
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _check(self, info: Round, shop: Workshop, into: Version, program_hash: bytes) -> None:
        try:
            if into.number and info.target != info.version:
                self._build(into)
            ours = suite_of(shop.config, shop.change).hash()
            if ours != program_hash:
                self.failure = _other(info, "program", ours, program_hash)
            log.info("programs checked", version=info.version, target=info.target, program=ours.hex())
        except (ConsensusError, PonwError) as error:
            self.failure = error if isinstance(error, PonwError) else OtherVersionError(error.message, error.hint)

    def _shop(self, current: int, target: int) -> Workshop:
        key = (current, target)
        if key not in self._shops:
            era = self._era(current, target)
            dataset = self._dataset(current)
            self._shops[key] = replace(self._base, config=era.config, dataset=dataset, change=era.change)
        return self._shops[key]

    def _era(self, current: int, target: int) -> Era:
        history = self._versions.upto(max(current, target))
        try:
            return history.era(self._base.config, current, target)
        except ConsensusError as error:
            raise OtherVersionError(error.message, error.hint) from error

    def _dataset(self, number: int) -> Dataset:
        if number not in self._datasets:
            self._datasets[number] = self._build(self._versions.upto(number)[number])
        return self._datasets[number]

    def _build(self, version: Version) -> Dataset:
        log.info("training text of a version", version=version.number, rows=version.vocabulary.rows)
        return versioned(self._base.dataset, Encoder(version.vocabulary), version.root)


def _other(info: Round, what: str, here: bytes, there: bytes) -> OtherVersionError:
    way = f"{info.version}" if info.version == info.target else f"{info.version} to {info.target}"
    return OtherVersionError(
        f"Version {way} of the vocabulary: this node's {what} 0x{here.hex()} is not the network's, 0x{there.hex()}.",
        "Do not go on: either its proposal was wrong (`ponw vocab check` says what), or ponw is out of date.",
    )
