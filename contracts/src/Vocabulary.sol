// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Change, IVocabulary } from "./interfaces/IVocabulary.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Merges } from "./libraries/Merges.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title Vocabulary
/// @notice Versions of the vocabulary. See {IVocabulary}.
/// @dev No owner. All calls out go to staking and emission, which are fixed, after every change of state.
contract Vocabulary is IVocabulary {
    using SafeCast for uint256;

    /// @param current The version that the newest round started in.
    /// @param target The version to go to.
    /// @param running The version that the newest round's outer step leads to; `target` may have moved since it opened.
    /// @param count Versions there are.
    struct Place {
        uint16 current;
        uint16 target;
        uint16 running;
        uint16 count;
    }

    /// @inheritdoc IVocabulary
    IStaking public immutable staking;
    /// @inheritdoc IVocabulary
    IEmission public immutable emission;
    /// @inheritdoc IVocabulary
    address public immutable registry;
    /// @inheritdoc IVocabulary
    address public immutable governor;
    /// @inheritdoc IVocabulary
    address public immutable emergency;

    Place private _place;
    mapping(uint16 version => Version) private _versions;

    /// @param registry_ Has the terms of version 0 in its parameters.
    /// @param governor_ Activates changes, usually at an address computed beforehand.
    /// @param emergency_ Takes versions back, likewise.
    constructor(IWorkRegistry registry_, address governor_, address emergency_) {
        (IStaking staking_, IEmission emission_) = (registry_.staking(), registry_.emission());
        if (staking_.vocabulary() != address(this)) revert NotVocabulary(staking_.vocabulary());
        if (emission_.vocabulary() != address(this)) revert NotVocabulary(emission_.vocabulary());
        (staking, emission, registry) = (staking_, emission_, address(registry_));
        (governor, emergency) = (governor_, emergency_);
        IWorkRegistry.Parameters memory p = registry_.parameters();
        Version storage first = _versions[0];
        (first.root, first.programHash, first.dataRoot) = (sha256(""), p.programHash, p.dataRoot);
        first.size = Rules.BASE_SIZE.toUint16();
        _place.count = 1;
    }

    /// @inheritdoc IVocabulary
    function lockBond(address proposer) external {
        if (msg.sender != governor) revert OnlyGovernor(msg.sender);
        staking.lock(proposer, Rules.PROPOSAL_STAKE);
    }

    /// @inheritdoc IVocabulary
    function freeBond(address proposer) external {
        if (msg.sender != governor) revert OnlyGovernor(msg.sender);
        staking.unlock(proposer, Rules.PROPOSAL_STAKE);
    }

    /// @inheritdoc IVocabulary
    function activate(Change calldata change, address proposer) external returns (uint16 version) {
        if (msg.sender != governor) revert OnlyGovernor(msg.sender);
        (bytes32 root, uint16 size) = check(change);
        version = _place.count;
        (_place.target, _place.count) = (version, version + 1);
        _versions[version] = Version({
            root: root,
            programHash: change.programHash,
            growHash: change.growHash,
            shrinkHash: change.shrinkHash,
            dataRoot: change.dataRoot,
            parent: change.parent,
            size: size,
            activatedAt: block.timestamp.toUint48(),
            contested: false,
            proposer: proposer
        });
        emit Activated(version, change.parent, proposer, root, change.merges);
        emission.accrue(proposer, Rules.PROPOSAL_REWARD);
    }

    /// @inheritdoc IVocabulary
    function contest(uint16 version) external {
        if (msg.sender != emergency) revert OnlyEmergency(msg.sender);
        if (version == 0 || version != _place.target) revert NotRevocable(version);
        if (_versions[version].contested) revert AlreadyContested(version);
        _versions[version].contested = true;
    }

    /// @inheritdoc IVocabulary
    function rollback(uint16 version) external {
        if (msg.sender != emergency) revert OnlyEmergency(msg.sender);
        Place memory p = _place;
        uint16 parent = _versions[version].parent;
        if (version == 0 || version != p.target) revert NotRevocable(version);
        // The newest round may end in either; from both, one step must lead to the parent.
        bool near = (p.current == version || p.current == parent) && (p.running == version || p.running == parent);
        if (!near) revert NotRevocable(version);
        _place.target = parent;
        emit RolledBack(version, parent);
        staking.slash(_versions[version].proposer, Rules.PROPOSAL_STAKE, address(0), 0);
    }

    /// @inheritdoc IVocabulary
    function enter(bool stepped)
        external
        returns (uint16 current, uint16 target, bytes32 programHash, bytes32 dataRoot)
    {
        if (msg.sender != registry) {
            revert OnlyRegistry(msg.sender);
        }
        Place memory p = _place;
        (current, target) = (stepped ? p.running : p.current, p.target);
        if (current != p.current) emit Entered(current);
        if (current != p.current || target != p.running) _place = Place(current, target, target, p.count);
        (programHash, dataRoot) = termsOf(current, target);
    }

    /// @inheritdoc IVocabulary
    function versionOf(uint16 version) external view returns (Version memory) {
        if (version >= _place.count) revert NoSuchVersion(version);
        return _versions[version];
    }

    /// @inheritdoc IVocabulary
    function state() external view returns (uint16 current, uint16 target) {
        return (_place.current, _place.target);
    }

    /// @inheritdoc IVocabulary
    function count() external view returns (uint16) {
        return _place.count;
    }

    /// @inheritdoc IVocabulary
    function check(Change calldata change) public view returns (bytes32 root, uint16 size) {
        Place memory p = _place;
        bool settled = p.current == p.target && p.current == p.running;
        if (!settled || change.parent != p.current) revert StaleChange(change.parent, p.current);
        size = Merges.check(change.merges, _versions[p.current].size);
        root = Merges.rootAfter(_versions[p.current].root, change.merges);
    }

    /// @inheritdoc IVocabulary
    function termsOf(uint16 current, uint16 target) public view returns (bytes32 programHash, bytes32 dataRoot) {
        if (current >= _place.count || target >= _place.count) revert NotAdjacent(current, target);
        Version storage from = _versions[current];
        dataRoot = from.dataRoot;
        if (target == current) programHash = from.programHash;
        else if (_versions[target].parent == current) programHash = _versions[target].growHash;
        else if (from.parent == target) programHash = from.shrinkHash;
        else revert NotAdjacent(current, target);
    }
}
