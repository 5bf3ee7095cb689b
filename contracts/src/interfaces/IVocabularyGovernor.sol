// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Change } from "./IVocabulary.sol";

/// @title IVocabularyGovernor
/// @notice Proposals to change the vocabulary: a bond, discussion, a vote, grace, activation. An OpenZeppelin Governor
/// whose proposals can do one thing.
/// @dev A proposal's description is `uri`#proposer=ADDRESS in lower case, its one action vocabulary.activate(change,
/// proposer), so its id is nobody else's. The same change under the same URI is proposed once; afterwards, change the URI.
interface IVocabularyGovernor {
    /// @notice `proposer` proposes `change`; what a voter needs to recount it stands at `uri`.
    event ChangeProposed(uint256 indexed id, address indexed proposer, Change change, string uri);
    /// @notice Proposal `id` has become proposal `by`, whose discussion starts now.
    event ChangeAmended(uint256 indexed id, uint256 indexed by);
    /// @notice The proposer's bond is free again.
    event BondFreed(uint256 indexed id, address indexed proposer);

    /// @notice Thrown when the caller has an open proposal already.
    error ProposalOpen(uint256 id);
    /// @notice Thrown when a proposal is not the open one of the caller, or of anybody.
    error NotOpenProposal(uint256 id);
    /// @notice Thrown when a proposal is amended or withdrawn after its discussion.
    error DiscussionOver(uint256 id);
    /// @notice Thrown when a bond is asked back while its proposal may still pass.
    error StillOpen(uint256 id);
    /// @notice Thrown when a change is activated in its grace time.
    error InGrace(uint256 until);
    /// @notice Thrown when a URI is longer than 256 bytes.
    error UriTooLong(uint256 length);

    /// @notice Seconds from a passed vote's {queueChange} to its activation.
    function grace() external view returns (uint48);
    /// @notice The open proposal of `proposer`; 0 for none.
    function openOf(address proposer) external view returns (uint256 id);
    /// @notice The id of a change, by whom and under which URI.
    function idOf(Change calldata change, address proposer, string calldata uri) external view returns (uint256);

    /// @notice Proposes `change`, locking the caller's bond; one open proposal a proposer. Reverts where it could not be
    /// activated now.
    function proposeChange(Change calldata change, string calldata uri) external returns (uint256 id);
    /// @notice Replaces the caller's proposal while it is discussed; discussion starts again, the bond stays.
    function amend(uint256 oldId, Change calldata change, string calldata uri) external returns (uint256 id);
    /// @notice Ends the caller's proposal while it is discussed, and frees its bond.
    function withdraw(uint256 id) external;
    /// @notice Frees the bond of a proposal that was defeated or cancelled, or is about a version that is no more the current
    /// one; such a proposal ends with it. Anyone may call.
    function releaseBond(uint256 id) external;
    /// @notice Starts the grace time of a change whose vote has passed. Anyone may call.
    function queueChange(Change calldata change, address proposer, string calldata uri) external returns (uint256 id);
    /// @notice After the grace time: activates the change, frees the bond and pays the reward. Anyone may call.
    function executeChange(Change calldata change, address proposer, string calldata uri) external returns (uint256 id);
}
