"""Coming back, or coming in: the state of the round that the others are in, fetched from those who hold its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from consensus.model.config import ModelConfig
from consensus.quorum.parts import Span
from consensus.training.outer import GlobalState
from node.cohort.contribution import Opening, names_of
from node.cohort.errors import CohortError
from node.cohort.exchange import Exchange
from node.cohort.leaves import leaves_of, reported, root_of
from node.cohort.standing import Standing
from node.errors import PonwError
from node.logs import get_logger
from node.net.transfer import PROTOCOL, fetch
from node.net.transfer_types import Wanted
from node.net.wire.cohort_pb2 import Known, StateFile
from node.net.wire.common_pb2 import Versions
from node.paths import private_folder
from node.quorum.agreement import Dialer
from node.storage.checkpoints import GLOBAL_GROUPS
from node.storage.tensorfile import Tensors, largest_file, load_tensors

log = get_logger("cohort")
DIAL_SECONDS = 10.0


class CatchUp:
    """Fetches standings. A state is taken where more than half of the members that answered name its root; every tensor
    fetched is then checked against that root, so a member can only withhold. On a chain the outer claim names the root.
    """

    def __init__(
        self, config: ModelConfig, span: Span, exchange: Exchange, dialer: Dialer, versions: Versions, folder: Path
    ) -> None:
        self._config, self._span, self._exchange = config, span, exchange
        self._dialer, self._versions, self._folder = dialer, versions, folder

    def standing(self, own: Standing, peers: Iterable[str]) -> Standing:
        """Where most of the answering members stand, from the state they open their round with; `own` where that is
        not further.

        Raises:
            CohortError: nobody answers, they disagree, or a part is given by none. DiskError.
        """
        answers = self._ask(peers)
        if not answers:
            raise CohortError("No member of the cohort answers.", "It is tried again.")
        number, root = self._majority(answers)
        if number <= own.number:
            return own
        able = {peer: known for peer, known in answers.items() if _root_at(known, number) == root}
        state = self._state(number, root, able)
        first = next(iter(able.values()))
        openings = own.openings | {o.round: Opening(o.root, o.at) for o in first.openings}
        voters = Counter(tuple(known.voters) for known in able.values()).most_common(1)[0][0]
        return replace(own, number=number, state=state, openings=openings, voters=voters)

    def _ask(self, peers: Iterable[str]) -> dict[str, Known]:
        answers = {}
        for peer in peers:
            try:
                answers[peer] = self._exchange.ask(peer, 0)
            except CohortError as error:
                log.info("a member was not asked", reason=error.message)
        return answers

    def _majority(self, answers: dict[str, Known]) -> tuple[int, bytes]:
        """The latest (round, root) that more than half of the answers know."""
        words = Counter((o.round, bytes(o.root)) for known in answers.values() for o in known.openings)
        agreed = [word for word, count in words.items() if 2 * count > len(answers)]
        if not agreed:
            raise CohortError("The members that answer name different states.", "It is tried again.")
        return max(agreed)

    def _state(self, number: int, root: bytes, able: dict[str, Known]) -> GlobalState:
        wanted = names_of(self._config, self._span)
        found: dict[str, Tensors] = {group: {} for group in GLOBAL_GROUPS}
        for peer, known in able.items():
            for file in known.files if known.open == number else ():
                lacking = wanted.keys() - found["weights"].keys()
                if lacking & names_of(self._config, Span(file.first_part, file.first_part + file.part_count)).keys():
                    self._add(found, wanted, peer, file)
        if wanted.keys() - found["weights"].keys():
            raise CohortError(f"No member gives all parts of round {number}'s state.", "It is tried again.")
        state = GlobalState(*({name: found[group][name] for name in wanted} for group in GLOBAL_GROUPS))
        self._check(number, root, state, able)
        return state

    def _add(self, found: dict[str, Tensors], wanted: Iterable[str], peer: str, file: StateFile) -> None:
        shapes = names_of(self._config, Span(file.first_part, file.first_part + file.part_count))
        whole = {f"{group}/{name}": shape for group in GLOBAL_GROUPS for name, shape in shapes.items()}
        private_folder(self._folder)
        target = self._folder / f"{file.root.hex()[:16]}.safetensors"
        try:
            with closing(self._dialer.dial(peer, PROTOCOL, DIAL_SECONDS)) as stream:
                fetch(stream, Wanted(file.root, largest_file(whole), file.size), target, self._versions, peer=peer)
            tensors = load_tensors(target, whole).tensors
        except PonwError as error:
            log.info("no state from this member", peer=peer, reason=error.message)
            return
        finally:
            target.unlink(missing_ok=True)
        for group in GLOBAL_GROUPS:
            found[group] |= {n: tensors[f"{group}/{n}"] for n in wanted if n in shapes and n not in found[group]}

    def _check(self, number: int, root: bytes, state: GlobalState, able: dict[str, Known]) -> None:
        """The fetched tensors, with the leaves that others report of all further ones, lead to the root."""
        own, names = leaves_of(state), sorted(self._config.shapes())
        for peer in able if len(own) < len(names) else ():
            try:
                self._exchange.ask(peer, number - 1)
            except CohortError as error:
                log.info("a member was not asked", reason=error.message)
        messages = self._exchange.log.of(number - 1, "leaves")
        outcomes = {bytes(message.body.leaves.outcome) for message in messages} | {b""}
        for outcome in outcomes:
            said = reported(messages, outcome, names)
            pairs = {n: Counter(words.values()).most_common(1)[0][0] for n, words in said.items() if words} | own
            if len(pairs) == len(names) and root_of(pairs) == root:
                return
        raise CohortError(f"What was fetched is not the state of round {number}.", "It is fetched again from others.")


def _root_at(known: Known, number: int) -> bytes:
    return next((bytes(opening.root) for opening in known.openings if opening.round == number), b"")
