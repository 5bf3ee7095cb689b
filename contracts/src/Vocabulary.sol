// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Age, Change, Era, Growth, IVocabulary, Motion, Terms } from "./interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "./interfaces/IVocabularyGovernor.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Merges } from "./libraries/Merges.sol";
import { Motions } from "./libraries/Motions.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title Vocabulary
/// @notice Versions of the vocabulary and of the depth. See {IVocabulary}.
/// @dev No owner. All calls out go to staking, emission and governor, which are fixed, after every change of state.
contract Vocabulary is IVocabulary {
    using SafeCast for uint256;

    /// @param current The version that the newest round started in.
    /// @param target The version to go to.
    /// @param running The version that the newest round's outer step leads to; `target` may have moved since it opened.
    /// @param count Versions there are.
    /// @param layers Layers that the newest round trains.
    /// @param leads Layers that its outer step leads to.
    /// @param young Rounds with young layers that are left, the newest included.
    struct Place {
        uint16 current;
        uint16 target;
        uint16 running;
        uint16 count;
        uint16 layers;
        uint16 leads;
        uint8 young;
    }

    /// @param programHash, dataRoot What claims of the newest round name.
    struct Running {
        bytes32 programHash;
        bytes32 dataRoot;
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
    /// @inheritdoc IVocabulary
    address public immutable deepener;

    Place private _place;
    Running private _running;
    mapping(uint16 version => Version) private _versions;

    /// @param registry_ Has the terms of version 0 in its parameters.
    /// @param governor_ Activates changes, usually at an address computed beforehand.
    /// @param emergency_ Takes versions back, likewise.
    /// @param deepener_ Activates growths of layers, likewise.
    constructor(IWorkRegistry registry_, address governor_, address emergency_, address deepener_) {
        (IStaking staking_, IEmission emission_) = (registry_.staking(), registry_.emission());
        if (staking_.vocabulary() != address(this)) revert NotVocabulary(staking_.vocabulary());
        if (emission_.vocabulary() != address(this)) revert NotVocabulary(emission_.vocabulary());
        (staking, emission, registry) = (staking_, emission_, address(registry_));
        (governor, emergency, deepener) = (governor_, emergency_, deepener_);
        IWorkRegistry.Parameters memory p = registry_.parameters();
        Terms memory first = Terms(p.programHash, 0, 0, p.dataRoot, keccak256(""));
        (_versions[0].terms, _versions[0].size) = (Motions.hash(first), Rules.BASE_SIZE.toUint16());
        _running = Running(p.programHash, p.dataRoot);
        _place = Place({ current: 0, target: 0, running: 0, count: 1, layers: p.layers, leads: p.layers, young: 0 });
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
    function activate(Motion calldata motion) external returns (uint16 version) {
        if (msg.sender != governor && msg.sender != deepener) revert OnlyGovernor(msg.sender);
        Place memory p = _place;
        if (!_settled(p) || motion.parent != p.current) revert StaleChange(motion.parent, p.current);
        version = p.count;
        (_place.target, _place.count) = (version, version + 1);
        _versions[version] = Version({
            terms: motion.terms,
            parent: motion.parent,
            size: motion.size,
            activatedAt: block.timestamp.toUint48(),
            contested: false,
            paid: msg.sender == deepener, // a growth earns no reward
            proposer: motion.proposer
        });
        emit Activated(version, motion.parent, motion.proposer, motion.terms);
    }

    /// @inheritdoc IVocabulary
    function claimReward(uint16 version) external {
        address proposer = _versions[version].proposer;
        if (proposer == address(0)) revert NoSuchVersion(version);
        if (_versions[version].paid) revert AlreadyPaid(version);
        _versions[version].paid = true;
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
        address proposer = _versions[version].proposer;
        if (IVocabularyGovernor(governor).forfeit(proposer)) staking.unlock(proposer, Rules.PROPOSAL_STAKE);
        staking.slash(proposer, Rules.PROPOSAL_STAKE, address(0), 0);
    }

    /// @inheritdoc IVocabulary
    function enter(bool stepped, Terms calldata supplied, bytes calldata growth) external returns (Era memory era) {
        if (msg.sender != registry) revert OnlyRegistry(msg.sender);
        Place memory p = _place;
        era.version = stepped ? p.running : p.current;
        era.target = p.target;
        era.layers = stepped ? p.leads : p.layers;
        era.young = stepped && p.young != 0 ? p.young - 1 : p.young;
        (era.programHash, era.dataRoot) = (_running.programHash, _running.dataRoot);
        bool moved = era.version != p.current;
        if (!moved && era.target == p.running && era.young == p.young) return era;
        if (moved) emit Entered(era.version);
        if (era.layers != p.layers) emit Deepened(era.layers);
        // Young are the layers of a growth that was just entered, not of one that a later version was taken back to.
        bool fresh = moved && _versions[era.version].parent == p.current;
        if (moved) era.young = 0;
        uint16 leads = _next(era, fresh, supplied, growth);
        _place = Place(era.version, era.target, era.target, p.count, era.layers, leads, era.young);
        _running = Running(era.programHash, era.dataRoot);
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
    function depth() external view returns (uint16 layers, uint16 leads, uint8 young) {
        return (_place.layers, _place.leads, _place.young);
    }

    /// @inheritdoc IVocabulary
    function count() external view returns (uint16) {
        return _place.count;
    }

    /// @inheritdoc IVocabulary
    function base() external view returns (uint16 version, uint16 size) {
        Place memory p = _place;
        if (!_settled(p)) revert Unsettled(p.current, p.target);
        return (p.current, _versions[p.current].size);
    }

    /// @inheritdoc IVocabulary
    function terms() external view returns (bytes32 programHash, bytes32 dataRoot) {
        return (_running.programHash, _running.dataRoot);
    }

    /// @inheritdoc IVocabulary
    function check(Change calldata change) external view returns (uint16 size) {
        Place memory p = _place;
        if (!_settled(p) || change.parent != p.current) revert StaleChange(change.parent, p.current);
        return Merges.check(change.merges, _versions[p.current].size);
    }

    /// @dev Writes what a round runs that differs from the one before it into `era`. Every such round needs the terms of one
    /// version alone: a round grows only out of the version that the round before trained in too, whose `dataRoot` is there.
    /// @param fresh Whether the round is the first one in its version.
    /// @return leads Layers that the round's outer step leads to.
    function _next(Era memory era, bool fresh, Terms calldata supplied, bytes calldata growth)
        private
        view
        returns (uint16 leads)
    {
        (uint16 current, uint16 target) = (era.version, era.target);
        bool grows = target != current && _versions[target].parent == current;
        if (!grows && target != current && _versions[current].parent != target) revert NotAdjacent(current, target);
        uint16 version = grows ? target : current;
        if (Motions.hash(supplied) != _versions[version].terms) revert WrongTerms(version);
        leads = era.layers;
        Age memory age = Age(supplied.programHash, supplied.shrinkHash);
        if (_deepens(version)) {
            if (keccak256(growth) != supplied.mergesHash) revert WrongTerms(version);
            Growth memory g = abi.decode(growth, (Growth));
            if (target != current) leads = grows ? g.grown : g.layers;
            if (fresh && !grows) era.young = g.young.length.toUint8();
            if (era.young != 0) age = g.young[g.young.length - era.young];
        }
        if (grows) {
            era.programHash = supplied.growHash;
        } else {
            era.programHash = target == current ? age.programHash : age.shrinkHash;
            era.dataRoot = supplied.dataRoot;
        }
    }

    /// @dev Whether a version is a growth of layers: a change of the vocabulary adds rows.
    function _deepens(uint16 version) private view returns (bool) {
        return version != 0 && _versions[version].size == _versions[_versions[version].parent].size;
    }

    /// @dev Whether no transition is due or under way, and no layer is young.
    function _settled(Place memory p) private pure returns (bool) {
        return p.current == p.target && p.current == p.running && p.young == 0;
    }
}
