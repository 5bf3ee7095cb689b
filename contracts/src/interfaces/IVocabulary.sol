// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IEmission } from "./IEmission.sol";
import { IStaking } from "./IStaking.sol";

/// @notice What turns version `parent` into the next one, as its proposal's event publishes it.
/// @param parent The version that was current when the change was bonded.
/// @param programHash Program hash of rounds in the new version.
/// @param growHash Program hash of the one round whose outer step grows embedding and head.
/// @param shrinkHash Program hash of the one round whose outer step takes the growth back.
/// @param dataRoot Root of the dataset in tokens of the new version.
/// @param merges 8 bytes each: left u16, right u16 (ids), occurrences u32; big-endian, in order of application. Of a growth
/// of layers the ABI encoding of {Growth}.
struct Change {
    uint16 parent;
    bytes32 programHash;
    bytes32 growHash;
    bytes32 shrinkHash;
    bytes32 dataRoot;
    bytes merges;
}

/// @notice The terms of a version: what whoever opens a round supplies where the version has changed.
/// @param mergesHash keccak256 of the merges, or of the encoding of a {Growth}. Of version 0 that of no bytes, and growHash and shrinkHash are 0.
struct Terms {
    bytes32 programHash;
    bytes32 growHash;
    bytes32 shrinkHash;
    bytes32 dataRoot;
    bytes32 mergesHash;
}

/// @notice A change as votes are about it: its terms in one hash, and what the chain keeps beside.
/// @param terms keccak256 of the ABI encoding of {Terms}.
/// @param size Rows of embedding and head in the new version.
struct Motion {
    bytes32 terms;
    uint16 parent;
    uint16 size;
    address proposer;
}

/// @notice A growth of layers, whose ABI encoding stands in the place of a change's merges.
/// @param number Which growth of the network it is, by its proposer's count; from 1.
/// @param time Timestamp of the announcement: with `number`, the parent and the layers it names the growth, and the new
/// layers' weights are drawn under that name. A growth hash that says otherwise is for voters to refuse.
/// @param roundSteps Steps that a round counts for the age of the new layers.
/// @param layers Layers before.
/// @param grown Layers afterwards.
/// @param young Rounds of the new version in which the new layers learn at a lower rate, in order.
struct Growth {
    uint32 number;
    uint64 time;
    uint32 roundSteps;
    uint16 layers;
    uint16 grown;
    Age[] young;
}

/// @notice One round of young layers.
/// @param programHash Program hash of the round.
/// @param shrinkHash Program hash of the round if its outer step takes the growth back.
struct Age {
    bytes32 programHash;
    bytes32 shrinkHash;
}

/// @notice What a round runs.
/// @param version The version that it trains in.
/// @param target The version that its outer step leads to.
/// @param layers Layers of the model that it trains.
/// @param young Rounds with young layers that are left, this one included.
/// @param programHash, dataRoot What its claims name.
struct Era {
    uint16 version;
    uint16 target;
    uint16 layers;
    uint8 young;
    bytes32 programHash;
    bytes32 dataRoot;
}

/// @title IVocabulary
/// @notice Versions of the model: which one rounds run in, and the way from one to the next. A version changes the
/// vocabulary, or the number of layers: one that adds no rows is a growth of layers.
/// @dev A version changes between two rounds: the round in between runs the last one's training and the transition's outer
/// step, so a claim about it can be disputed like any other. The current version and the target differ by one step at most.
/// A version's terms are kept as one hash. The terms themselves stand in the log, where its proposal put them; the chain
/// holds two of those words, for the newest round. A growth is followed by rounds of young layers, each with a program hash
/// of its own; until they are over no other change is settled upon.
interface IVocabulary {
    /// @param terms As in {Motion}.
    /// @param parent The version before; of version 0 itself.
    /// @param size Rows of embedding and head.
    /// @param activatedAt When it became the target; 0 for version 0.
    /// @param contested Whether an emergency vote was opened about it: once a version.
    /// @param paid Whether its proposer's reward was claimed.
    /// @param proposer Who answers for it with its stake; 0 for version 0.
    struct Version {
        bytes32 terms;
        uint16 parent;
        uint16 size;
        uint48 activatedAt;
        bool contested;
        bool paid;
        address proposer;
    }

    /// @notice Version `version` is the target; `terms` as in {Motion}.
    event Activated(uint16 indexed version, uint16 indexed parent, address indexed proposer, bytes32 terms);
    /// @notice An emergency vote has taken `version` back; `parent` is the target again.
    event RolledBack(uint16 indexed version, uint16 indexed parent);
    /// @notice Rounds run in `version` from now on.
    event Entered(uint16 indexed version);

    /// @notice Rounds run with this many layers from now on.
    event Deepened(uint16 layers);

    /// @notice Thrown when anyone but the contract named may call.
    error OnlyRegistry(address caller);
    error OnlyGovernor(address caller);
    error OnlyEmergency(address caller);
    /// @notice Thrown when a change is about another version than the current one, or a transition is under way.
    error StaleChange(uint16 parent, uint16 current);
    /// @notice Thrown when a bond is asked for while a transition is under way or layers are young: no version to build on has
    /// settled.
    error Unsettled(uint16 current, uint16 target);
    /// @notice Thrown when there are no merges, more than allowed, or a torn one.
    error WrongMerges(uint256 length);
    /// @notice Thrown when merge `index` joins a token that does not exist before it.
    error UnknownToken(uint256 index);
    /// @notice Thrown when merge `index` was not seen often enough.
    error TooRare(uint256 index, uint32 occurrences);
    /// @notice Thrown when a round needs the terms of `version` and is opened without them, or with others.
    error WrongTerms(uint16 version);
    /// @notice Thrown when a version cannot be taken back: it is not the target, or the first, or the way back from its
    /// successor has not ended yet.
    error NotRevocable(uint16 version);
    /// @notice Thrown when an emergency vote was opened about the version before.
    error AlreadyContested(uint16 version);
    /// @notice Thrown when a version's reward was claimed before.
    error AlreadyPaid(uint16 version);
    /// @notice Thrown when there is no such version, or no proposer of it.
    error NoSuchVersion(uint16 version);
    /// @notice Thrown when no single step leads from one version to the other.
    error NotAdjacent(uint16 current, uint16 target);
    /// @notice Thrown when staking or emission names another vocabulary: a wrong order of deployment.
    error NotVocabulary(address vocabulary);

    /// @notice Where bonds are locked, where rewards accrue, and who may call what.
    function staking() external view returns (IStaking);
    function emission() external view returns (IEmission);
    function registry() external view returns (address);
    function governor() external view returns (address);
    function emergency() external view returns (address);
    function deepener() external view returns (address);
    /// @notice A version's figures; reverts for none such.
    function versionOf(uint16 version) external view returns (Version memory);
    /// @notice The version that rounds run in, and the one they go to.
    function state() external view returns (uint16 current, uint16 target);
    /// @notice Layers that the newest round trains, those that its outer step leads to, and how many rounds with young
    /// layers are left, the newest included.
    function depth() external view returns (uint16 layers, uint16 leads, uint8 young);
    /// @notice Versions there are, version 0 included.
    function count() external view returns (uint16);
    /// @notice The current version and its size; reverts while a transition is under way.
    function base() external view returns (uint16 version, uint16 size);
    /// @notice Program hash and data root of the newest round.
    function terms() external view returns (bytes32 programHash, bytes32 dataRoot);
    /// @notice Reverts unless `change` could be activated now. For whoever wants to look first.
    function check(Change calldata change) external view returns (uint16 size);

    /// @notice Locks, frees a proposer's bond. Governor only.
    function lockBond(address proposer) external;
    function freeBond(address proposer) external;
    /// @notice Makes the motion's version the target. The two governors only, which have checked the motion's size: one
    /// has added rows, the other one, which deepens, none.
    function activate(Motion calldata motion) external returns (uint16 version);
    /// @notice Pays the reward for `version` to its proposer, once. Anyone may call.
    function claimReward(uint16 version) external;
    /// @notice Marks that an emergency vote was opened. Emergency governor only.
    function contest(uint16 version) external;
    /// @notice Makes the version before the target again and slashes the proposer. Emergency governor only.
    function rollback(uint16 version) external;
    /// @notice What the next round runs. Registry only.
    /// @param stepped Whether the round before ended with an outer step: only then has a transition taken place.
    /// @param supplied Looked at where the round does not run what the one before ran: of the version that the round grows
    /// into, else of the one that it runs in.
    /// @param growth The ABI encoding of its {Growth} where that version is one; else not looked at.
    function enter(bool stepped, Terms calldata supplied, bytes calldata growth) external returns (Era memory);
}
