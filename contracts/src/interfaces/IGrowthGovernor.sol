// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Change, Motion } from "./IVocabulary.sol";

/// @title IGrowthGovernor
/// @notice Votes on growths of layers: discussion, a vote, an announcement, activation or none. An OpenZeppelin Governor
/// whose proposals can do one thing.
/// @dev A proposal's description is its URI, its one action vocabulary.activate(motion), and the motion names its proposer.
/// A vote that has passed is announced ({announce}); from the announcement's deadline on {decide} activates the growth if
/// every new layer has its holders, else it gives 10 minutes more, three times at most, and then ends the proposal. There is
/// no bond: to propose takes a tenth of all stake, and a growth that is taken back slashes its proposer like any version.
interface IGrowthGovernor {
    /// @param layers Layers before.
    /// @param grown Layers afterwards.
    /// @param deadline From when on the growth is decided; 0 before it is announced.
    /// @param extensions How often the deadline was put off.
    /// @param aborted Whether it ended for want of holders.
    struct Plan {
        uint16 layers;
        uint16 grown;
        uint48 deadline;
        uint8 extensions;
        bool aborted;
    }

    /// @notice A growth was proposed: the only place where its terms stand in full. As {IVocabularyGovernor-ChangeProposed}.
    event GrowthProposed(bytes32 programHash, bytes32 growHash, bytes32 shrinkHash, bytes32 dataRoot, bytes merges);
    /// @notice `account` says that it holds, or is ready to hold, `count` of the new layers from `first` on, at speed `tier`.
    event Pledged(uint256 indexed id, address indexed account, uint16 first, uint16 count, uint8 tier);
    /// @notice Growth `id` is decided from `deadline` on.
    event GrowthAnnounced(uint256 indexed id, uint48 deadline);
    /// @notice `layer` lacks holders: growth `id` is decided from `deadline` on, after this many extensions.
    event GrowthExtended(uint256 indexed id, uint8 extensions, uint48 deadline, uint16 layer);
    /// @notice `layer` still lacks holders: growth `id` has ended.
    event GrowthAborted(uint256 indexed id, uint16 layer);

    /// @notice Thrown when a growth does not start from the model as it is, or adds too few layers or too many.
    error WrongDepth(uint16 layers, uint16 grown);
    /// @notice Thrown when a growth says that it is announced later than now.
    error WrongTime(uint64 time);
    /// @notice Thrown when the young rounds do not cover the steps that new layers need to grow up.
    error WrongYouth(uint256 rounds, uint32 roundSteps);
    /// @notice Thrown when a growth is not encoded as the ABI has it, so that some would read it and others not.
    error WrongEncoding();
    /// @notice Thrown when a growth names another dataset than the current one: it changes no text.
    error OtherData(bytes32 dataRoot);
    /// @notice Thrown when a URI is longer than 256 bytes.
    error UriTooLong(uint256 length);
    /// @notice Thrown when a growth is decided before its deadline.
    error InGrace(uint256 until);
    /// @notice Thrown when a growth is executed while `layer` lacks holders.
    error NotReady(uint16 layer);
    /// @notice Thrown when who pledges is no staker, or has pledged before.
    error NotStaker(address caller);
    error AlreadyPledged(address account);
    /// @notice Thrown when a pledge is about layers that the growth does not add, or about no tier.
    error WrongPledge(uint16 first, uint16 count, uint8 tier);
    /// @notice Thrown when a proposal was never made, or is over.
    error NotOpen(uint256 id);

    /// @notice Proposes a growth of the current version. The caller needs a tenth of all stake in votes.
    /// @param change Its `merges` hold the ABI encoding of the {Growth}.
    function proposeGrowth(Change calldata change, string calldata uri) external returns (uint256 id);
    /// @notice Says that the caller holds, or is ready to hold, these of the new layers; once a growth. Stakers only.
    /// @dev Nobody can measure another's memory or speed on chain: like a vote this is the word of someone with stake.
    function pledge(uint256 id, uint16 first, uint16 count, uint8 tier) external;
    /// @notice Announces a motion whose vote has passed: its grace begins. Anyone may call.
    function announce(Motion calldata motion, bytes32 uriHash) external returns (uint256 id);
    /// @notice After the deadline: activates the motion, or puts it off, or ends it. Anyone may call.
    function decide(Motion calldata motion, bytes32 uriHash) external;
    /// @notice A growth as it is voted on.
    function motionOf(Change calldata change, address proposer) external view returns (Motion memory);
    /// @notice The id of a motion under a URI of this keccak256.
    function idOf(Motion calldata motion, bytes32 uriHash) external view returns (uint256);
    /// @notice Where a growth's announcement stands; all zero where there is no such proposal.
    function planOf(uint256 id) external view returns (Plan memory);
    /// @notice Holders that every layer needs now.
    function replicas() external view returns (uint256);
    /// @notice The first new layer that lacks holders, counted or fast; 0 where none does.
    function lacking(uint256 id) external view returns (uint16 layer);
}
