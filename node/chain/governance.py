"""The vocabulary and its two votes with typed calls, as in node.chain.contracts."""

from __future__ import annotations

from collections.abc import Iterator

from web3.types import TxReceipt

from node.chain import events
from node.chain.types import Change, Proposal, ProposalState, Support, Tally, Version
from node.chain.wrapper import Wrapper


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

    def terms_of(self, current: int, target: int) -> tuple[bytes, bytes]:
        """Program hash and data root of a round from `current` to `target` (equal: of an ordinary round)."""
        program_hash, data_root = self._view("termsOf", current, target)
        return bytes(program_hash), bytes(data_root)

    def check(self, change: Change) -> tuple[bytes, int]:
        """Root and size of the version that `change` would make now; raises the decoded refusal."""
        root, size = self._view("check", change)
        return bytes(root), int(size)

    def registry(self) -> str:
        """Whose rounds run in a version."""
        return str(self._view("registry"))

    def governor(self) -> str:
        """Who may activate."""
        return str(self._view("governor"))

    def emergency(self) -> str:
        """Who may take a version back."""
        return str(self._view("emergency"))


class _Governor(Wrapper):
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


class VocabularyGovernor(_Governor):
    """Votes on changes of the vocabulary."""

    name = "VocabularyGovernor"

    def times(self) -> tuple[int, int, int, int]:
        """Seconds of discussion, vote, extension and grace."""
        names = ("votingDelay", "votingPeriod", "lateQuorumVoteExtension", "grace")
        discussion, vote, extension, grace = (int(self._view(name)) for name in names)
        return discussion, vote, extension, grace

    def id_of(self, change: Change, proposer: str, uri: str) -> int:
        """The id of a change, by whom and under which URI."""
        return int(self._view("idOf", change, proposer, uri))

    def open_of(self, proposer: str) -> int:
        """The open proposal of `proposer`; 0 for none."""
        return int(self._view("openOf", proposer))

    def eta(self, proposal: int) -> int:
        """Timestamp from which a queued change may be activated; 0 before it is queued."""
        return int(self._view("proposalEta", proposal))

    def propose_change(self, change: Change, uri: str) -> TxReceipt:
        """Propose a change, locking the account's bond."""
        return self._send(f"propose a change of version {change.parent}", "proposeChange", change, uri)

    def amend(self, old: int, change: Change, uri: str) -> TxReceipt:
        """Replace the account's proposal while it is discussed; discussion starts again."""
        return self._send(f"amend proposal {old}", "amend", old, change, uri)

    def withdraw(self, proposal: int) -> TxReceipt:
        """End the account's proposal while it is discussed, and free its bond."""
        return self._send(f"withdraw proposal {proposal}", "withdraw", proposal)

    def queue(self, proposal: Proposal) -> TxReceipt:
        """Start the grace time of a change whose vote has passed."""
        return self._send(f"queue proposal {proposal.id}", "queueChange", *_arguments(proposal))

    def execute(self, proposal: Proposal) -> TxReceipt:
        """Activate a change after its grace time."""
        return self._send(f"activate proposal {proposal.id}", "executeChange", *_arguments(proposal))

    def release_bond(self, proposal: int) -> TxReceipt:
        """Free the bond of a proposal that can't pass any more."""
        return self._send(f"release the bond of proposal {proposal}", "releaseBond", proposal)

    def proposals(self, first: int, last: int) -> Iterator[Proposal]:
        """Every change proposed in blocks `first` to `last` inclusive, in order."""
        for event in self.events(first, last):
            if isinstance(event, events.ChangeProposed):
                yield Proposal(event.id, event.proposer, event.change, event.uri, event.block)


class EmergencyGovernor(_Governor):
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


def _arguments(proposal: Proposal) -> tuple[Change, str, str]:
    return proposal.change, proposal.proposer, proposal.uri
