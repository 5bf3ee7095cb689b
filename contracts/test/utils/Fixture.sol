// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Deployment } from "../../script/Deployment.sol";
import { vm } from "../../script/Vm.sol";
import { EmergencyGovernor } from "../../src/EmergencyGovernor.sol";
import { Emission } from "../../src/Emission.sol";
import { GrowthGovernor } from "../../src/GrowthGovernor.sol";
import { InferenceEscrow } from "../../src/InferenceEscrow.sol";
import { Judge } from "../../src/Judge.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { Quorums } from "../../src/Quorums.sol";
import { Staking } from "../../src/Staking.sol";
import { Vocabulary } from "../../src/Vocabulary.sol";
import { VocabularyGovernor } from "../../src/VocabularyGovernor.sol";
import { WorkRegistry } from "../../src/WorkRegistry.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { MerkleTree } from "./MerkleTree.sol";

/// @title Fixture
/// @notice A deployed network, three stakers, and claims with real traces.
abstract contract Fixture is Deployment {
    uint256 internal constant NEURO = 1e18;
    uint256 internal constant BOND = 50 * NEURO;
    uint256 internal constant CHALLENGE_BOND = 10 * NEURO;
    uint256 internal constant MINIMUM = 100 * NEURO;
    uint256 internal constant STAKE = 1000 * NEURO;
    uint64 internal constant TRAIN_TIME = 1 hours;
    uint64 internal constant WINDOW = 600;
    uint64 internal constant RESPONSE = 300;
    uint64 internal constant THAW = 18 days;
    uint48 internal constant DISCUSSION = 7 days;
    uint32 internal constant VOTE = 7 days;
    uint48 internal constant VOTE_EXTENSION = 1 days;
    uint48 internal constant GRACE = 7 days;
    uint32 internal constant EMERGENCY = 48 hours;
    bytes32 internal constant TRACE = keccak256("op trace");

    NeuroToken internal token;
    Staking internal staking;
    Emission internal emission;
    WorkRegistry internal registry;
    Judge internal judge;
    Vocabulary internal vocabulary;
    VocabularyGovernor internal governor;
    EmergencyGovernor internal emergency;
    InferenceEscrow internal escrow;
    Quorums internal quorums;
    GrowthGovernor internal growths;

    address internal immutable alice = vm.addr(0xA11CE);
    address internal immutable bob = vm.addr(0xB0B);
    address internal immutable carol = vm.addr(0xCA401);

    /// @dev Kept beside block.timestamp, which an optimiser may take for constant within a test.
    uint256 internal time = 1_800_000_000;

    function setUp() public virtual {
        vm.warp(time);
        _install(_config());
        _fund(alice);
        _fund(bob);
        _fund(carol);
    }

    function _config() internal view virtual returns (Config memory c) {
        c.genesisHolder = address(this);
        c.genesisSupply = 1_000_000 * NEURO;
        c.supplyCap = 10_000_000 * NEURO;
        c.minimumStake = MINIMUM;
        c.thawPeriod = THAW;
        c.schedule = IEmission.Schedule(1 days, 1 days, 1460, 20_000 * NEURO, 10_000 * NEURO);
        c.parameters = IWorkRegistry.Parameters({
            programHash: keccak256("program"),
            dataRoot: keccak256("data"),
            genesisRoot: keccak256("genesis"),
            judge: address(0),
            tokensPerStep: 1024,
            layers: 6,
            maxSteps: 1000,
            maxClaims: 16,
            trainTime: TRAIN_TIME,
            window: WINDOW,
            responseTime: RESPONSE,
            claimBond: BOND,
            challengeBond: CHALLENGE_BOND
        });
        c.votes = Votes(DISCUSSION, VOTE, VOTE_EXTENSION, GRACE, EMERGENCY);
        (c.progressTime, c.settleTime) = (30, 30);
    }

    function _install(Config memory c) internal {
        System memory s = _deploy(address(this), c);
        (token, staking, emission, registry, judge) = (s.token, s.staking, s.emission, s.registry, s.judge);
        (vocabulary, governor, emergency, escrow) = (s.vocabulary, s.governor, s.emergency, s.escrow);
        (quorums, growths) = (s.quorums, s.growth);
    }

    function _fund(address account) internal {
        vm.assertTrue(token.transfer(account, 2 * STAKE));
        vm.startPrank(account);
        token.approve(address(staking), type(uint256).max);
        staking.stake(STAKE);
        vm.stopPrank();
    }

    function _skip(uint256 dt) internal {
        time += dt;
        vm.warp(time);
    }

    // --- traces ---

    function _state(address node, uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("state", node, i));
    }

    function _batch(address node, uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("batch", node, i));
    }

    function _leaf(address node, uint256 i) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", _state(node, i), _batch(node, i), uint32(i * 7), uint32(i)));
    }

    function _leaves(address node, uint256 steps) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](steps);
        for (uint256 i = 0; i < steps; ++i) {
            leaves[i] = _leaf(node, i);
        }
    }

    function _opening(address node, uint256 steps, uint256 i) internal pure returns (IWorkRegistry.Opening memory o) {
        if (i >= steps) return o;
        o = IWorkRegistry.Opening({
            stateRoot: _state(node, i),
            batchRoot: _batch(node, i),
            lossBits: uint32(i * 7),
            proof: MerkleTree.path(_leaves(node, steps), i)
        });
    }

    // --- claims ---

    /// @dev What claims of the newest round must name.
    function _terms() internal view returns (bytes32 programHash, bytes32 dataRoot) {
        return vocabulary.terms();
    }

    /// @dev Layers that claims of the newest round must hold.
    function _layers() internal view returns (uint16 layers) {
        (layers,,) = vocabulary.depth();
    }

    function _train(address node, uint32 steps) internal view returns (Claim memory c) {
        (bytes32 programHash, bytes32 dataRoot) = _terms();
        c = Claim({
            kind: ClaimLib.TRAIN,
            round: registry.currentRound(),
            node: node,
            programHash: programHash,
            dataRoot: dataRoot,
            startRoot: registry.globalRoot(),
            endRoot: _state(node, steps - 1),
            traceRoot: MerkleTree.root(_leaves(node, steps)),
            updateRoot: keccak256(abi.encode("update", node)),
            steps: steps,
            tokens: uint64(steps) * 1024,
            firstLayer: 0,
            layerCount: _layers(),
            base: registry.currentRound()
        });
    }

    /// @dev A claim of the newest round whose work began in round `base`.
    function _late(address node, uint32 steps, uint64 base) internal view returns (Claim memory c) {
        c = _train(node, steps);
        (c.base, c.startRoot) = (base, registry.roundOf(base).startRoot);
    }

    function _outer(address node, bytes32 nextRoot) internal view returns (Claim memory c) {
        uint64 round = registry.currentRound();
        bytes32 finalSet = registry.roundOf(round).finalSet;
        (bytes32 programHash, bytes32 dataRoot) = _terms();
        c = Claim({
            kind: ClaimLib.OUTER,
            round: round,
            node: node,
            programHash: programHash,
            dataRoot: dataRoot,
            startRoot: registry.globalRoot(),
            endRoot: nextRoot,
            traceRoot: sha256(abi.encodePacked(hex"00", nextRoot, finalSet, uint32(0), uint32(0))),
            updateRoot: finalSet,
            steps: 1,
            tokens: 0,
            firstLayer: 0,
            layerCount: _layers(),
            base: round
        });
    }

    function _post(Claim memory c) internal {
        vm.prank(c.node);
        registry.post(c);
    }

    function _challenge(address challenger, Claim memory c, uint32 step) internal {
        vm.prank(challenger);
        registry.challenge(c, step);
    }

    function _answer(Claim memory c, address challenger) internal {
        uint32 step = registry.challengeOf(registry.hashClaim(c), challenger).step;
        IWorkRegistry.Opening memory previous = _opening(c.node, c.steps, step == 0 ? c.steps : step - 1);
        _send(c, challenger, previous, _opening(c.node, c.steps, step));
    }

    function _send(
        Claim memory c,
        address challenger,
        IWorkRegistry.Opening memory previous,
        IWorkRegistry.Opening memory opened
    ) internal {
        vm.prank(c.node);
        registry.answer(c, challenger, previous, opened, TRACE);
    }

    /// @dev A posted TRAIN claim of a fresh round.
    function _posted(address node, uint32 steps) internal returns (Claim memory c) {
        registry.openRound();
        c = _train(node, steps);
        _post(c);
    }

    /// @dev Ends the newest round with its one TRAIN claim `c` final and bob's outer step to `nextRoot`.
    function _endRound(Claim memory c, bytes32 nextRoot) internal {
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(bob, nextRoot);
        _post(outer);
        _skip(WINDOW + 1);
        registry.finalise(outer);
    }

    function _loseBySilence(Claim memory c, address challenger) internal {
        _challenge(challenger, c, 0);
        _skip(RESPONSE + 1);
        registry.timeout(c, challenger);
    }

    /// @dev Past the round's challenge window.
    function _afterWindow() internal {
        _skip(TRAIN_TIME + WINDOW + 1);
    }

    // --- checks ---

    function _assertState(Claim memory c, ClaimState expected, uint256 expectedOpen) internal view {
        (ClaimState state, uint256 open, bytes32 prefix) = registry.claimOf(c.node);
        vm.assertEq(uint256(state), uint256(expected), "claim state");
        vm.assertEq(open, expectedOpen, "open challenges");
        vm.assertEq(prefix, registry.hashClaim(c) & ~bytes32(uint256(0xffff)));
    }

    function _assertPhase(IWorkRegistry.Phase expected) internal view {
        vm.assertEq(uint256(registry.phaseOf(registry.currentRound())), uint256(expected), "phase");
    }

    function _lockedOf(address account) internal view returns (uint256) {
        return staking.accountOf(account).locked;
    }

    function _account(address account) internal view returns (IStaking.Account memory) {
        return staking.accountOf(account);
    }

    function _notOpen(Claim memory c) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IRegistryErrors.NotOpenClaim.selector, registry.hashClaim(c));
    }

    function _wrongBase(uint64 base) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRegistryErrors.WrongBase.selector, base);
    }

    function _phaseError(IWorkRegistry.Phase phase) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IWorkRegistry.WrongPhase.selector, phase);
    }
}
