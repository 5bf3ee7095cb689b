// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { StakeGovernor } from "./StakeGovernor.sol";
import { Change, IVocabulary, Motion } from "./interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "./interfaces/IVocabularyGovernor.sol";
import { Merges } from "./libraries/Merges.sol";
import { Motions } from "./libraries/Motions.sol";

/// @title VocabularyGovernor
/// @notice Votes on changes of the vocabulary. See {IVocabularyGovernor}.
contract VocabularyGovernor is IVocabularyGovernor, StakeGovernor {
    /// @dev One slot a proposer, kept when the bond is freed: the next bond changes it instead of writing a new one.
    /// @param parent The version that was current when the bond was named.
    /// @param size Its rows.
    /// @param id The proposal that the bond stands for; 0: the bond is not locked.
    struct Bond {
        uint16 parent;
        uint16 size;
        uint216 id;
    }

    /// @dev Bits of the hash that an id leaves out.
    uint256 private constant DROPPED = 40;

    /// @inheritdoc IVocabularyGovernor
    uint48 public immutable grace;

    mapping(address proposer => Bond) private _bonds;

    /// @param discussion Seconds from proposal to vote.
    /// @param vote Seconds of the vote.
    /// @param extension Least seconds left to vote once the quorum is reached.
    /// @param grace_ Seconds from {queueChange} to activation.
    constructor(IVocabulary vocabulary_, uint48 discussion, uint32 vote, uint48 extension, uint48 grace_)
        Governor("ponw vocabulary")
        StakeGovernor(vocabulary_, discussion, vote, extension)
    {
        if (vocabulary_.governor() != address(this)) revert NotGovernor(vocabulary_.governor());
        if (discussion == 0 || extension == 0 || grace_ == 0) revert BadTimes();
        grace = grace_;
    }

    /// @inheritdoc IVocabularyGovernor
    function bond(uint256 id) external {
        // An id that was proposed once is never bonded again, so what has ended stays ended.
        if (id == 0 || id > type(uint216).max || proposalSnapshot(id) != 0) revert NotNew(id);
        (uint16 parent, uint16 size) = vocabulary.base();
        uint256 last = _bonds[msg.sender].id;
        if (last != 0 && proposalProposer(last) == msg.sender && !_over(last)) revert ProposalOpen(last);
        _name(msg.sender, parent, size, id);
        emit Bonded(id, msg.sender);
        // Locked anew, because a slash may have eaten the lock meanwhile.
        if (last != 0) vocabulary.freeBond(msg.sender);
        vocabulary.lockBond(msg.sender);
    }

    /// @inheritdoc IVocabularyGovernor
    function proposeChange(Change calldata change, string calldata uri) external returns (uint256 id) {
        Bond memory b = _bonds[msg.sender];
        if (b.id == 0) revert NothingBonded(msg.sender);
        id = _start(change, uri, b.parent, b.size);
        if (b.id != id) revert NotBonded(id, b.id);
    }

    /// @inheritdoc IVocabularyGovernor
    function amend(uint256 oldId, Change calldata change, string calldata uri) external returns (uint256 id) {
        _endDiscussed(oldId);
        (uint16 parent, uint16 size) = vocabulary.base();
        id = _start(change, uri, parent, size);
        _name(msg.sender, parent, size, id);
        emit ChangeAmended(oldId, id);
    }

    /// @inheritdoc IVocabularyGovernor
    function withdraw(uint256 id) external {
        _endDiscussed(id);
        _freeBond(id, msg.sender);
    }

    /// @inheritdoc IVocabularyGovernor
    function releaseBond(address proposer) external {
        uint256 id = _bonds[proposer].id;
        if (id == 0) revert NothingBonded(proposer);
        // Not made yet, or under a name that another account made its own.
        if (proposalProposer(id) != proposer) {
            if (msg.sender != proposer) revert StillOpen(id);
        } else if (!_over(id)) {
            (uint16 current, uint16 target) = vocabulary.state();
            if (current != target || current == _bonds[proposer].parent) revert StillOpen(id);
            emit ProposalCanceled(id);
        }
        _freeBond(id, proposer);
    }

    /// @inheritdoc IVocabularyGovernor
    function forfeit(address proposer) external returns (bool locked) {
        if (msg.sender != address(vocabulary)) revert OnlyVocabulary(msg.sender);
        uint256 id = _bonds[proposer].id;
        locked = id != 0 && proposalProposer(id) == proposer && _over(id);
        if (locked) {
            _bonds[proposer].id = 0;
            emit BondFreed(id, proposer);
        }
    }

    /// @inheritdoc IVocabularyGovernor
    function queueChange(Motion calldata motion, bytes32 uriHash) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        return queue(targets, values, calls, uriHash);
    }

    /// @inheritdoc IVocabularyGovernor
    function executeChange(Motion calldata motion, bytes32 uriHash) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        return execute(targets, values, calls, uriHash);
    }

    /// @inheritdoc IVocabularyGovernor
    function bondOf(address proposer) external view returns (uint256) {
        return _bonds[proposer].id;
    }

    /// @inheritdoc IVocabularyGovernor
    function motionOf(Change calldata change, address proposer) external view returns (Motion memory) {
        uint16 rows = Merges.check(change.merges, vocabulary.versionOf(change.parent).size);
        return Motion(Motions.termsOf(change), change.parent, rows, proposer);
    }

    /// @inheritdoc IVocabularyGovernor
    function idOf(Motion calldata motion, bytes32 uriHash) external view returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        return getProposalId(targets, values, calls, uriHash);
    }

    /// @inheritdoc IGovernor
    /// @dev Of the one action that a proposal has: the upper 216 bits of keccak256(abi.encode(target, value, keccak256(call),
    /// descriptionHash)), a third of the work of {hashProposal}.
    function getProposalId(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calls,
        bytes32 descriptionHash
    ) public pure override returns (uint256) {
        if ((targets.length ^ 1) | (values.length ^ 1) | (calls.length ^ 1) != 0) {
            revert GovernorInvalidProposalLength(targets.length, calls.length, values.length);
        }
        bytes memory action = abi.encode(targets[0], values[0], keccak256(calls[0]), descriptionHash);
        return uint256(keccak256(action)) >> DROPPED;
    }

    /// @inheritdoc IGovernor
    /// @dev What its proposer's bond no longer stands for has ended, whatever the vote says.
    function state(uint256 id) public view override returns (ProposalState now_) {
        now_ = super.state(id);
        if (!_isOver(now_) && _bonds[proposalProposer(id)].id != id) now_ = ProposalState.Canceled;
    }

    /// @inheritdoc IGovernor
    function proposalNeedsQueuing(uint256) public pure override returns (bool) {
        return true;
    }

    /// @dev There is no timelock to hand over to: the queue is an entry in the proposal.
    function _queueOperations(uint256, address[] memory, uint256[] memory, bytes[] memory, bytes32)
        internal
        view
        override
        returns (uint48)
    {
        return clock() + grace;
    }

    function _executeOperations(
        uint256 id,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calls,
        bytes32 descriptionHash
    ) internal override {
        if (clock() < proposalEta(id)) revert InGrace(proposalEta(id));
        super._executeOperations(id, targets, values, calls, descriptionHash);
    }

    /// @dev Only what had passed was queued, and nobody votes after that: it is not counted again.
    function _quorumReached(uint256 id) internal view override returns (bool) {
        return proposalEta(id) != 0 || super._quorumReached(id);
    }

    /// @dev As for {_quorumReached}.
    function _voteSucceeded(uint256 id) internal view override returns (bool) {
        return proposalEta(id) != 0 || super._voteSucceeded(id);
    }

    /// @dev The caller's proposal about a version of `size` tokens, checked and published.
    function _start(Change calldata change, string calldata uri, uint16 parent, uint16 size)
        private
        returns (uint256 id)
    {
        if (bytes(uri).length > MAX_TEXT) revert UriTooLong(bytes(uri).length);
        if (change.parent != parent) revert IVocabulary.StaleChange(change.parent, parent);
        // As _activation has it, without the struct.
        bytes calldata merges = change.merges;
        (bytes32 terms, uint16 rows) = (Motions.termsOf(change), Merges.check(merges, size));
        bytes memory call =
            abi.encodeWithSelector(IVocabulary.activate.selector, terms, change.parent, rows, msg.sender);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _action(call);
        id = _propose(targets, values, calls, uri, msg.sender);
        emit ChangeProposed(change.programHash, change.growHash, change.shrinkHash, change.dataRoot, merges);
    }

    /// @dev Ends the caller's open proposal if it is still discussed.
    function _endDiscussed(uint256 id) private {
        if (_bonds[msg.sender].id != id || proposalProposer(id) != msg.sender) revert NotOpenProposal(id);
        if (state(id) != ProposalState.Pending) revert DiscussionOver(id);
        emit ProposalCanceled(id);
    }

    /// @dev Whoever calls this has checked that `id` fits, or has it from {getProposalId}.
    function _name(address proposer, uint16 parent, uint16 size, uint256 id) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        _bonds[proposer] = Bond(parent, size, uint216(id));
    }

    function _freeBond(uint256 id, address proposer) private {
        _bonds[proposer].id = 0;
        emit BondFreed(id, proposer);
        vocabulary.freeBond(proposer);
    }

    /// @dev Whether a proposal that was made can't be activated any more.
    function _over(uint256 id) private view returns (bool) {
        return _isOver(state(id));
    }

    function _isOver(ProposalState s) private pure returns (bool) {
        return s == ProposalState.Defeated || s == ProposalState.Canceled || s == ProposalState.Executed;
    }

    function _activation(Motion memory motion)
        private
        view
        returns (address[] memory, uint256[] memory, bytes[] memory)
    {
        return _action(abi.encodeCall(IVocabulary.activate, (motion)));
    }
}
