// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { Strings } from "@openzeppelin/contracts/utils/Strings.sol";
import { StakeGovernor } from "./StakeGovernor.sol";
import { Change, IVocabulary } from "./interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "./interfaces/IVocabularyGovernor.sol";

/// @title VocabularyGovernor
/// @notice Votes on changes of the vocabulary. See {IVocabularyGovernor}.
contract VocabularyGovernor is IVocabularyGovernor, StakeGovernor {
    /// @param parent The version that the change is about.
    /// @param ended Withdrawn, amended or released: cancelled, whatever the vote says.
    struct Course {
        uint16 parent;
        bool ended;
    }

    /// @inheritdoc IVocabularyGovernor
    uint48 public immutable grace;
    /// @inheritdoc IVocabularyGovernor
    mapping(address proposer => uint256 id) public openOf;

    mapping(uint256 id => Course) private _courses;

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
    function proposeChange(Change calldata change, string calldata uri) external returns (uint256 id) {
        if (openOf[msg.sender] != 0) revert ProposalOpen(openOf[msg.sender]);
        id = _start(change, uri);
        vocabulary.lockBond(msg.sender);
    }

    /// @inheritdoc IVocabularyGovernor
    function amend(uint256 oldId, Change calldata change, string calldata uri) external returns (uint256 id) {
        _endDiscussed(oldId);
        id = _start(change, uri);
        emit ChangeAmended(oldId, id);
    }

    /// @inheritdoc IVocabularyGovernor
    function withdraw(uint256 id) external {
        _endDiscussed(id);
        _freeBond(id, msg.sender);
    }

    /// @inheritdoc IVocabularyGovernor
    function releaseBond(uint256 id) external {
        address proposer = proposalProposer(id);
        if (proposer == address(0) || openOf[proposer] != id) revert NotOpenProposal(id);
        ProposalState now_ = state(id);
        if (now_ != ProposalState.Defeated && now_ != ProposalState.Canceled) {
            (uint16 current, uint16 target) = vocabulary.state();
            if (current != target || current == _courses[id].parent) revert StillOpen(id);
            _end(id);
        }
        _freeBond(id, proposer);
    }

    /// @inheritdoc IVocabularyGovernor
    function queueChange(Change calldata change, address proposer, string calldata uri) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(change, proposer);
        return queue(targets, values, calls, keccak256(bytes(_description(proposer, uri))));
    }

    /// @inheritdoc IVocabularyGovernor
    function executeChange(Change calldata change, address proposer, string calldata uri) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(change, proposer);
        return execute(targets, values, calls, keccak256(bytes(_description(proposer, uri))));
    }

    /// @inheritdoc IVocabularyGovernor
    function idOf(Change calldata change, address proposer, string calldata uri) external view returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(change, proposer);
        return hashProposal(targets, values, calls, keccak256(bytes(_description(proposer, uri))));
    }

    /// @inheritdoc IGovernor
    function state(uint256 id) public view override returns (ProposalState) {
        return _courses[id].ended ? ProposalState.Canceled : super.state(id);
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
        _freeBond(id, proposalProposer(id));
        super._executeOperations(id, targets, values, calls, descriptionHash);
    }

    /// @dev The caller's proposal, checked and on record.
    function _start(Change calldata change, string calldata uri) private returns (uint256 id) {
        if (bytes(uri).length > MAX_TEXT) revert UriTooLong(bytes(uri).length);
        // slither-disable-next-line unused-return
        vocabulary.check(change);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(change, msg.sender);
        id = _propose(targets, values, calls, _description(msg.sender, uri), msg.sender);
        openOf[msg.sender] = id;
        _courses[id].parent = change.parent;
        emit ChangeProposed(id, msg.sender, change, uri);
    }

    /// @dev Ends the caller's open proposal if it is still discussed.
    function _endDiscussed(uint256 id) private {
        if (id == 0 || openOf[msg.sender] != id) revert NotOpenProposal(id);
        if (state(id) != ProposalState.Pending) revert DiscussionOver(id);
        _end(id);
    }

    function _end(uint256 id) private {
        _courses[id].ended = true;
        emit ProposalCanceled(id);
    }

    function _freeBond(uint256 id, address proposer) private {
        delete openOf[proposer];
        emit BondFreed(id, proposer);
        vocabulary.freeBond(proposer);
    }

    function _activation(Change calldata change, address proposer)
        private
        view
        returns (address[] memory, uint256[] memory, bytes[] memory)
    {
        return _action(abi.encodeCall(IVocabulary.activate, (change, proposer)));
    }

    function _description(address proposer, string calldata uri) private pure returns (string memory) {
        return string.concat(uri, "#proposer=", Strings.toHexString(proposer));
    }
}
