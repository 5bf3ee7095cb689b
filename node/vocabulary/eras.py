"""What each round runs, as workshops: one for each pair of current and target version, and each age of young layers."""

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

Key = tuple[int, int, int]
"""`Round.era`."""
FIRST: Key = (0, 0, 0)


class Eras:
    """Workshops by version, target and age, over one engine. Used by one thread, like the engine.

    A dataset is built when a round first needs it, and for the version that a transition leads to in the background,
    while the transition's round is being trained. Program hashes are recomputed in the background too: `failure` is
    what was found wrong.
    """

    def __init__(self, base: Workshop, versions: Versions) -> None:
        self._base, self._versions = base, versions
        self._shops: dict[Key, Workshop] = {FIRST: base}
        self._datasets: dict[int, Dataset] = {0: base.dataset}
        self._checks: dict[Key, threading.Thread] = {}
        self.failure: PonwError | None = None

    def of(self, info: Round) -> Workshop:
        """What this round trains and how its outer step ends.

        Raises:
            OtherVersionError: the chain's version is not what this node makes of its events.
            ManifestError, ShardError, DiskError: its dataset cannot be built or read.
        """
        return self._shop(info.era)

    def after(self, info: Round, stepped: bool) -> Workshop:
        """What the round after this one trains; `stepped`: whether this one ended with an outer step."""
        settled = info.target if stepped else info.version
        history = self._versions.upto(max(info.version, info.target))
        return self._shop((settled, settled, history.youth(*info.era, stepped)))

    def check(self, info: Round, terms: tuple[bytes, bytes]) -> None:
        """Compare a round's terms (program hash, data root) with what this node runs in it: the text at once, the
        programs in the background.

        Raises:
            OtherVersionError: the dataset has another root. What the background has found is in `failure`.
        """
        key, shop = info.era, self.of(info)
        if key == FIRST or key in self._checks:
            return  # the network's first terms were checked when the node started
        program_hash, data_root = terms
        if shop.config.layers != info.layers:
            raise OtherVersionError(
                f"{_way(info)}: this node makes {shop.config.layers} layers of it, the network {info.layers}.", _STOP
            )
        if shop.dataset.root != data_root:
            raise _other(info, "text", shop.dataset.root, data_root)
        into = self._versions.upto(max(info.version, info.target)).worded(info.target)
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
            words = {"version": info.version, "target": info.target, "young": info.young}
            log.info("programs checked", **words, program=ours.hex())
        except (ConsensusError, PonwError) as error:
            self.failure = error if isinstance(error, PonwError) else OtherVersionError(error.message, error.hint)

    def _shop(self, key: Key) -> Workshop:
        if key not in self._shops:
            era = self._era(*key)
            dataset = self._dataset(key[0])
            self._shops[key] = replace(self._base, config=era.config, dataset=dataset, change=era.change)
        return self._shops[key]

    def _era(self, current: int, target: int, young: int) -> Era:
        history = self._versions.upto(max(current, target))
        try:
            return history.era(self._base.config, current, target, young)
        except ConsensusError as error:
            raise OtherVersionError(error.message, error.hint) from error

    def _dataset(self, number: int) -> Dataset:
        version = self._versions.upto(number).worded(number)
        if version.number not in self._datasets:
            self._datasets[version.number] = self._build(version)
        return self._datasets[version.number]

    def _build(self, version: Version) -> Dataset:
        log.info("training text of a version", version=version.number, rows=version.vocabulary.rows)
        return versioned(self._base.dataset, Encoder(version.vocabulary), version.root)


_STOP = "Do not go on: either its proposal was wrong (`ponw vocab check`, `ponw layers check`), or ponw is out of date."


def _other(info: Round, what: str, here: bytes, there: bytes) -> OtherVersionError:
    words = f"{_way(info)}: this node's {what} 0x{here.hex()} is not the network's, 0x{there.hex()}."
    return OtherVersionError(words, _STOP)


def _way(info: Round) -> str:
    way = f"{info.version}" if info.version == info.target else f"{info.version} to {info.target}"
    young = f", {info.young} rounds before its layers are grown up" if info.young else ""
    return f"Version {way} of the vocabulary{young}"
