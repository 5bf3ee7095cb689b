// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Change, Motion } from "./IVocabulary.sol";

/// @title IVocabularyGovernor
/// @notice Proposals to change the vocabulary: a bond, discussion, a vote, grace, activation. An OpenZeppelin Governor
/// whose proposals can do one thing.
/// @dev A proposal's description is its URI, its one action vocabulary.activate(motion), and the motion names its proposer:
/// its id is nobody else's. The same change under the same URI is proposed once; afterwards, change the URI. An id has 216
/// bits (see {getProposalId}), so that a bond and what it stands for are one word.
interface IVocabularyGovernor {
    /// @notice The stake of `proposer` stands behind the proposal `id`, which it may make now.
    event Bonded(uint256 indexed id, address indexed proposer);
    /// @notice A change was proposed: the only place where the terms of a version stand in full. The Governor's own event of
    /// the same transaction has the rest, and in its motion the hash of these terms.
    event ChangeProposed(bytes32 programHash, bytes32 growHash, bytes32 shrinkHash, bytes32 dataRoot, bytes merges);
    /// @notice Proposal `id` has become proposal `by`, whose discussion starts now.
    event ChangeAmended(uint256 indexed id, uint256 indexed by);
    /// @notice The proposer's bond is free again.
    event BondFreed(uint256 indexed id, address indexed proposer);

    /// @notice Thrown when a bond is asked for a proposal that was made before, or for no number of one.
    error NotNew(uint256 id);
    /// @notice Thrown when a change is proposed whose proposer's bond stands for another one, or for none (0).
    error NotBonded(uint256 id, uint256 bonded);
    /// @notice Thrown when an account that has no bond asks for it back.
    error NothingBonded(address proposer);
    /// @notice Thrown when the caller's bond stands for an open proposal already.
    error ProposalOpen(uint256 id);
    /// @notice Thrown when a proposal is not the open one of the caller.
    error NotOpenProposal(uint256 id);
    /// @notice Thrown when a proposal is amended or withdrawn after its discussion.
    error DiscussionOver(uint256 id);
    /// @notice Thrown when a bond is asked back while its proposal may still pass.
    error StillOpen(uint256 id);
    /// @notice Thrown when a change is activated in its grace time.
    error InGrace(uint256 until);
    /// @notice Thrown when a URI is longer than 256 bytes.
    error UriTooLong(uint256 length);
    /// @notice Thrown when anyone but the vocabulary calls {forfeit}.
    error OnlyVocabulary(address caller);

    /// @notice Seconds from a passed vote's {queueChange} to its activation.
    function grace() external view returns (uint48);
    /// @notice The proposal that the bond of `proposer` stands for, open or over or not made yet; 0 where it has no bond.
    function bondOf(address proposer) external view returns (uint256 id);
    /// @notice A change as it is voted on. Reverts where its merges do not fit its parent.
    function motionOf(Change calldata change, address proposer) external view returns (Motion memory);
    /// @notice The id of a motion under a URI of this keccak256.
    function idOf(Motion calldata motion, bytes32 uriHash) external view returns (uint256);

    /// @notice Locks the caller's bond, if it is not locked, for the proposal `id` that it is to make next, about the version
    /// that is current now. Only a bond whose proposal is over, or was not made, moves on to another one.
    function bond(uint256 id) external;
    /// @notice Proposes `change`, for whose id the caller has bonded. Reverts where its merges do not fit the version that was
    /// current then.
    function proposeChange(Change calldata change, string calldata uri) external returns (uint256 id);
    /// @notice Replaces the caller's proposal while it is discussed; discussion starts again, the bond stays.
    function amend(uint256 oldId, Change calldata change, string calldata uri) external returns (uint256 id);
    /// @notice Ends the caller's proposal while it is discussed, and frees its bond.
    function withdraw(uint256 id) external;
    /// @notice Frees the bond of a proposal that is over, or is about a version that is no more the current one; such a
    /// proposal ends with it. Anyone may call; of a proposal that was not made, only the bond's owner.
    function releaseBond(address proposer) external;
    /// @notice Starts the grace time of a motion whose vote has passed. Anyone may call.
    function queueChange(Motion calldata motion, bytes32 uriHash) external returns (uint256 id);
    /// @notice After the grace time: activates the motion. Anyone may call. The proposer's bond and reward wait for
    /// {releaseBond} and the vocabulary's claimReward.
    function executeChange(Motion calldata motion, bytes32 uriHash) external returns (uint256 id);
    /// @notice Takes note that the bond of `proposer` is to be slashed with a version: true where it is locked and its
    /// proposal is over. The bond of an open proposal stays. Vocabulary only.
    function forfeit(address proposer) external returns (bool locked);
}
