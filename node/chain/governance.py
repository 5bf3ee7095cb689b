"""The vocabulary and its two votes with typed calls, as in node.chain.contracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eth_utils.crypto import keccak
from web3.types import TxReceipt

from node.chain import events
from node.chain.types import Change, Motion, Proposal, ProposalState, Support, Tally, Version
from node.chain.wrapper import Wrapper
from node.errors import RpcError

_AGAIN = "Ask again; another endpoint may be more complete."


class Vocabulary(Wrapper):
    """Versions of the vocabulary, and the way from one to the next."""

    name = "Vocabulary"

    def state(self) -> tuple[int, int]:
        """The version that rounds run in, and the one they go to."""
        current, target = self._view("state")
        return int(current), int(target)

    def count(self) -> int:
        """Versions there are, version 0 included."""
        return int(self._view("count"))

    def version_of(self, version: int) -> Version:
        """A version's figures."""
        return Version(*self._view("versionOf", version))

    def terms(self) -> tuple[bytes, bytes]:
        """Program hash and data root of the newest round; of other rounds `published.Published` has them."""
        program_hash, data_root = self._view("terms")
        return bytes(program_hash), bytes(data_root)

    def check(self, change: Change) -> int:
        """Size of the version that `change` would make now; raises the decoded refusal."""
        return int(self._view("check", change))

    def depth(self) -> tuple[int, int, int]:
        """Layers that the newest round trains, those that its outer step leads to, and how many rounds with young
        layers are left, it included."""
        layers, leads, young = map(int, self._view("depth"))
        return layers, leads, young

    def claim_reward(self, version: int) -> TxReceipt:
        """Pay the reward for a version to its proposer, once."""
        return self._send(f"claim the reward for version {version}", "claimReward", version)

    def registry(self) -> str:
        """Whose rounds run in a version."""
        return str(self._view("registry"))

    def governor(self) -> str:
        """Who may activate."""
        return str(self._view("governor"))

    def emergency(self) -> str:
        """Who may take a version back."""
        return str(self._view("emergency"))

    def deepener(self) -> str:
        """Who may activate growths of layers."""
        return str(self._view("deepener"))


class StakeGovernor(Wrapper):
    """What every vote of stake has."""

    def vocabulary(self) -> str:
        """What is voted on."""
        return str(self._view("vocabulary"))

    def voting_period(self) -> int:
        """Seconds of a vote."""
        return int(self._view("votingPeriod"))

    def state(self, proposal: int) -> ProposalState:
        """Where a vote stands at the newest block's time."""
        return ProposalState(self._view("state", proposal))

    def snapshot(self, proposal: int) -> int:
        """Timestamp whose votes count; voting begins in the second after it."""
        return int(self._view("proposalSnapshot", proposal))

    def deadline(self, proposal: int) -> int:
        """Last timestamp for votes."""
        return int(self._view("proposalDeadline", proposal))

    def proposer(self, proposal: int) -> str:
        """Who opened it."""
        return str(self._view("proposalProposer", proposal))

    def has_voted(self, proposal: int, account: str) -> bool:
        """Whether the account has voted on it."""
        return bool(self._view("hasVoted", proposal, account))

    def votes(self, proposal: int) -> Tally:
        """Votes cast, and those that a quorum needs."""
        against, in_favour, abstain = map(int, self._view("proposalVotes", proposal))
        waits = self.state(proposal) is ProposalState.PENDING
        quorum = 0 if waits else int(self._view("quorum", self.snapshot(proposal)))
        return Tally(against, in_favour, abstain, quorum)

    def vote(self, proposal: int, support: Support, reason: str = "") -> TxReceipt:
        """Vote with the stake that the account had at the snapshot; once."""
        purpose = f"vote {support.name.lower()} proposal {proposal}"
        if reason:
            return self._send(purpose, "castVoteWithReason", proposal, int(support), reason)
        return self._send(purpose, "castVote", proposal, int(support))


class VersionGovernor(StakeGovernor):
    """What votes on new versions of the model have."""

    def vote_times(self) -> tuple[int, int, int]:
        """Seconds of discussion, vote and extension."""
        names = ("votingDelay", "votingPeriod", "lateQuorumVoteExtension")
        discussion, vote, extension = (int(self._view(name)) for name in names)
        return discussion, vote, extension

    def motion_of(self, change: Change, proposer: str) -> Motion:
        """A change as it is voted on; raises the decoded refusal where it does not fit its parent."""
        return Motion(*self._view("motionOf", change, proposer))

    def id_of(self, change: Change, proposer: str, uri: str) -> int:
        """The number of a change, by whom and under which URI; errors as for `motion_of`."""
        return int(self._view("idOf", self.motion_of(change, proposer), uri_hash(uri)))


class VocabularyGovernor(VersionGovernor):
    """Votes on changes of the vocabulary."""

    name = "VocabularyGovernor"

    def times(self) -> tuple[int, int, int, int]:
        """Seconds of discussion, vote, extension and grace."""
        return *self.vote_times(), int(self._view("grace"))

    def bond_of(self, proposer: str) -> int:
        """The proposal that the bond of `proposer` stands for, made or not, open or over; 0 where it has none."""
        return int(self._view("bondOf", proposer))

    def eta(self, proposal: int) -> int:
        """Timestamp from which a queued change may be activated; 0 before it is queued."""
        return int(self._view("proposalEta", proposal))

    def bond(self, proposal: int) -> TxReceipt:
        """Lock the account's bond, if it is not locked, for the proposal that it is to make next."""
        return self._send("lock the bond of a proposal", "bond", proposal)

    def propose_change(self, change: Change, uri: str) -> TxReceipt:
        """Propose a change, for whose number the account has bonded."""
        return self._send(f"propose a change of version {change.parent}", "proposeChange", change, uri)

    def amend(self, old: int, change: Change, uri: str) -> TxReceipt:
        """Replace the account's proposal while it is discussed; discussion starts again."""
        return self._send(f"amend proposal {old}", "amend", old, change, uri)

    def withdraw(self, proposal: int) -> TxReceipt:
        """End the account's proposal while it is discussed, and free its bond."""
        return self._send(f"withdraw proposal {proposal}", "withdraw", proposal)

    def queue(self, proposal: Proposal) -> TxReceipt:
        """Start the grace time of a change whose vote has passed."""
        return self._send(f"queue proposal {proposal.id}", "queueChange", proposal.motion, uri_hash(proposal.uri))

    def execute(self, proposal: Proposal) -> TxReceipt:
        """Activate a change after its grace time."""
        return self._send(f"activate proposal {proposal.id}", "executeChange", proposal.motion, uri_hash(proposal.uri))

    def release_bond(self, proposer: str) -> TxReceipt:
        """Free the bond of an account whose proposal is over."""
        return self._send(f"release the bond of {proposer}", "releaseBond", proposer)

    def proposals(self, first: int, last: int) -> Iterator[Proposal]:
        """Every change proposed in blocks `first` to `last` inclusive, in order. Raises RpcError where the endpoint has
        one of a proposal's two events only."""
        yield from proposals(self.events(first, last, events.ProposalCreated, events.ChangeProposed))


class EmergencyGovernor(StakeGovernor):
    """Short votes that take the newest version back."""

    name = "EmergencyGovernor"

    def id_of(self, version: int) -> int:
        """The vote about a version; there may be none yet."""
        return int(self._view("idOf", version))

    def threshold(self) -> int:
        """Votes in wei of stake that an account needs to open a vote."""
        return int(self._view("proposalThreshold"))

    def propose_rollback(self, version: int, reason: str) -> TxReceipt:
        """Open a vote on taking `version` back."""
        return self._send(f"open an emergency vote about version {version}", "proposeRollback", version, reason)

    def execute(self, version: int) -> TxReceipt:
        """Take a version back whose vote has passed."""
        return self._send(f"take version {version} back", "executeRollback", version)


def proposals(found: Iterable[events.Event]) -> Iterator[Proposal]:
    """Proposals from their two events each, in the order of the chain; raises RpcError where one of two is missing."""
    created: events.ProposalCreated | None = None
    for event in found:
        if isinstance(event, events.ProposalCreated):
            created = event
        elif isinstance(event, events.ChangeProposed):
            yield _proposal(created, event)


def _proposal(created: events.ProposalCreated | None, event: events.ChangeProposed) -> Proposal:
    if created is not None:
        motion = Motion.from_call(created.calldatas[0])
        change = event.of(motion.parent)
        if change.terms.hash() == motion.terms:
            return Proposal(created.proposal_id, motion, change, created.description, event.block)
    raise RpcError(f"The endpoint lacks an event of a proposal in block {event.block}.", _AGAIN)


def uri_hash(uri: str) -> bytes:
    """What a proposal's number commits to of its URI."""
    return bytes(keccak(text=uri))
