// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { StakeGovernor } from "./StakeGovernor.sol";
import { IGrowthGovernor } from "./interfaces/IGrowthGovernor.sol";
import { Change, Growth, IVocabulary, Motion } from "./interfaces/IVocabulary.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Motions } from "./libraries/Motions.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title GrowthGovernor
/// @notice Votes on growths of layers. See {IGrowthGovernor}.
contract GrowthGovernor is IGrowthGovernor, StakeGovernor {
    using Math for uint256;
    using SafeCast for uint256;

    /// @dev What a layer has more, or less, than the one before it.
    /// @param holders Pledges for it.
    /// @param fast Those of tier 3 or faster.
    struct Step {
        int128 holders;
        int128 fast;
    }

    mapping(uint256 id => Plan) private _plans;
    mapping(uint256 id => mapping(uint256 layer => Step)) private _steps;
    mapping(uint256 id => mapping(address account => bool)) private _pledged;

    /// @param discussion Seconds from proposal to vote.
    /// @param vote Seconds of the vote.
    /// @param extension Least seconds left to vote once the quorum is reached.
    constructor(IVocabulary vocabulary_, uint48 discussion, uint32 vote, uint48 extension)
        Governor("ponw growth")
        StakeGovernor(vocabulary_, discussion, vote, extension)
    {
        if (vocabulary_.deepener() != address(this)) revert NotGovernor(vocabulary_.deepener());
        if (discussion == 0 || extension == 0) revert BadTimes();
    }

    /// @inheritdoc IGrowthGovernor
    function proposeGrowth(Change calldata change, string calldata uri) external returns (uint256 id) {
        if (bytes(uri).length > MAX_TEXT) revert UriTooLong(bytes(uri).length);
        uint256 needed = proposalThreshold();
        uint256 votes = getVotes(msg.sender, clock() - 1);
        if (votes < needed) revert GovernorInsufficientProposerVotes(msg.sender, votes, needed);
        Growth memory growth = abi.decode(change.merges, (Growth));
        if (keccak256(abi.encode(growth)) != keccak256(change.merges)) revert WrongEncoding();
        uint16 rows = _check(change, growth);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) =
            _activation(Motion(Motions.termsOf(change), change.parent, rows, msg.sender));
        id = _propose(targets, values, calls, uri, msg.sender);
        (_plans[id].layers, _plans[id].grown) = (growth.layers, growth.grown);
        emit GrowthProposed(change.programHash, change.growHash, change.shrinkHash, change.dataRoot, change.merges);
    }

    /// @inheritdoc IGrowthGovernor
    function pledge(uint256 id, uint16 first, uint16 count, uint8 tier) external {
        if (!staking.isStaker(msg.sender)) revert NotStaker(msg.sender);
        Plan memory plan = _plans[id];
        if (plan.grown == 0 || _isOver(state(id))) revert NotOpen(id);
        uint256 end = uint256(first) + count;
        if (first < plan.layers || count == 0 || end > plan.grown || tier == 0 || tier > Rules.TIERS) {
            revert WrongPledge(first, count, tier);
        }
        if (_pledged[id][msg.sender]) revert AlreadyPledged(msg.sender);
        _pledged[id][msg.sender] = true;
        int128 fast = tier <= Rules.GROWTH_TIER_MAX ? int128(1) : int128(0);
        Step storage from = _steps[id][first];
        (from.holders, from.fast) = (from.holders + 1, from.fast + fast);
        Step storage to = _steps[id][end];
        (to.holders, to.fast) = (to.holders - 1, to.fast - fast);
        emit Pledged(id, msg.sender, first, count, tier);
    }

    /// @inheritdoc IGrowthGovernor
    function announce(Motion calldata motion, bytes32 uriHash) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        return queue(targets, values, calls, uriHash);
    }

    /// @inheritdoc IGrowthGovernor
    function decide(Motion calldata motion, bytes32 uriHash) external {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        uint256 id = getProposalId(targets, values, calls, uriHash);
        if (state(id) != ProposalState.Queued) revert NotOpen(id);
        Plan storage plan = _plans[id];
        if (clock() < plan.deadline) revert InGrace(plan.deadline);
        uint16 layer = lacking(id);
        if (layer == 0) {
            execute(targets, values, calls, uriHash);
        } else if (plan.extensions < Rules.GROWTH_EXTENSIONS) {
            (plan.extensions, plan.deadline) = (plan.extensions + 1, clock() + Rules.GROWTH_GRACE);
            emit GrowthExtended(id, plan.extensions, plan.deadline, layer);
        } else {
            plan.aborted = true;
            emit GrowthAborted(id, layer);
            emit ProposalCanceled(id);
        }
    }

    /// @inheritdoc IGrowthGovernor
    function motionOf(Change calldata change, address proposer) external view returns (Motion memory) {
        return Motion(Motions.termsOf(change), change.parent, vocabulary.versionOf(change.parent).size, proposer);
    }

    /// @inheritdoc IGrowthGovernor
    function idOf(Motion calldata motion, bytes32 uriHash) external view returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _activation(motion);
        return getProposalId(targets, values, calls, uriHash);
    }

    /// @inheritdoc IGrowthGovernor
    function planOf(uint256 id) external view returns (Plan memory) {
        return _plans[id];
    }

    /// @inheritdoc IGrowthGovernor
    /// @dev Nodes are the final TRAIN claims of the round before the newest: who counts as one has worked for it.
    function replicas() public view returns (uint256) {
        IWorkRegistry registry = IWorkRegistry(vocabulary.registry());
        uint64 newest = registry.currentRound();
        uint256 nodes = newest == 0 ? 0 : registry.roundOf(newest - 1).finals;
        if (nodes < Rules.FEW_NODES) return 1;
        return nodes < Rules.MANY_NODES ? 2 : 3;
    }

    /// @inheritdoc IGrowthGovernor
    function lacking(uint256 id) public view returns (uint16) {
        Plan memory plan = _plans[id];
        int256 needed = replicas().toInt256();
        (int256 holders, int256 fast) = (0, 0);
        for (uint16 layer = plan.layers; layer < plan.grown; ++layer) {
            Step memory step = _steps[id][layer];
            (holders, fast) = (holders + step.holders, fast + step.fast);
            if (holders < needed || fast == 0) return layer;
        }
        return 0;
    }

    /// @inheritdoc IGovernor
    function state(uint256 id) public view override returns (ProposalState) {
        return _plans[id].aborted ? ProposalState.Canceled : super.state(id);
    }

    /// @inheritdoc IGovernor
    function proposalThreshold() public view override returns (uint256) {
        uint256 total = staking.getPastTotalSupply(clock() - 1);
        return total.mulDiv(Rules.EMERGENCY_BPS, Rules.BPS, Math.Rounding.Ceil);
    }

    /// @inheritdoc IGovernor
    function proposalNeedsQueuing(uint256) public pure override returns (bool) {
        return true;
    }

    /// @dev There is no timelock to hand over to: the queue is the announcement.
    function _queueOperations(uint256 id, address[] memory, uint256[] memory, bytes[] memory, bytes32)
        internal
        override
        returns (uint48 deadline)
    {
        deadline = clock() + Rules.GROWTH_GRACE;
        _plans[id].deadline = deadline;
        emit GrowthAnnounced(id, deadline);
    }

    /// @dev Whichever way it is called, a growth waits for its deadline and for its holders.
    function _executeOperations(
        uint256 id,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calls,
        bytes32 descriptionHash
    ) internal override {
        if (clock() < _plans[id].deadline) revert InGrace(_plans[id].deadline);
        uint16 layer = lacking(id);
        if (layer != 0) revert NotReady(layer);
        super._executeOperations(id, targets, values, calls, descriptionHash);
    }

    /// @dev A growth cannot be cancelled: it is voted on.
    function _validateCancel(uint256, address) internal pure override returns (bool) {
        return false;
    }

    /// @dev What a growth says about itself, against the network as it is; its hashes are for voters to recompute.
    function _check(Change calldata change, Growth memory growth) private view returns (uint16 rows) {
        uint16 parent;
        (parent, rows) = vocabulary.base();
        if (change.parent != parent) revert IVocabulary.StaleChange(change.parent, parent);
        (, bytes32 dataRoot) = vocabulary.terms();
        if (change.dataRoot != dataRoot) revert OtherData(change.dataRoot);
        (uint16 layers,,) = vocabulary.depth();
        uint256 most = Math.max(uint256(layers) * Rules.GROWTH_SHARE_BPS / Rules.BPS, Rules.GROWTH_LAYERS_MIN);
        bool fits = growth.grown >= layers + Rules.GROWTH_LAYERS_MIN && growth.grown <= layers + most;
        if (growth.layers != layers || !fits || growth.grown > Rules.LAYERS_MAX) {
            revert WrongDepth(growth.layers, growth.grown);
        }
        if (growth.time > block.timestamp) revert WrongTime(growth.time);
        uint256 rounds = growth.young.length;
        uint256 covered = rounds * growth.roundSteps;
        bool exact = covered >= Rules.GROWTH_RATE_STEPS && covered - growth.roundSteps < Rules.GROWTH_RATE_STEPS;
        if (!exact || rounds > type(uint8).max) {
            revert WrongYouth(rounds, growth.roundSteps);
        }
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
