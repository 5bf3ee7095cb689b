// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Dispute, IJudge } from "../../src/interfaces/IJudge.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Programs } from "../../src/libraries/Programs.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { Rfc9162 } from "../../src/libraries/Rfc9162.sol";
import { Fixture } from "../utils/Fixture.sol";
import { MerkleTree } from "../utils/MerkleTree.sol";

/// @notice What the judge holds a late claim to: the batches of its base, and the weight of its age. The dataset is a shard of
/// 64 tokens that count up; a batch is 4 of them. The outer step over one claim is one op.
contract LateGamesTest is Fixture {
    uint256 internal constant TOKENS = 64;
    uint256 internal constant LENGTH = 4;
    bytes32 internal constant STATE = keccak256("state");
    bytes32 internal constant NEXT = keccak256("next");

    function _config() internal view override returns (Config memory c) {
        c = super._config();
        c.extension = 60;
        c.parameters.programHash = this.hashSuite(_suite());
        c.parameters.dataRoot = sha256(abi.encodePacked("ponw/data/1", bytes1(0), uint256(1), TOKENS, _shardsRoot()));
    }

    function hashSuite(Programs.Suite calldata suite) external view returns (bytes32) {
        return Programs.hash(suite);
    }

    // --- the programs ---

    /// @dev The port of the updates' weights: written to by op 0, 8 bytes long.
    function _port() private pure returns (bytes memory) {
        return abi.encodePacked(uint32(0), uint64(8));
    }

    /// @dev One op, seven inputs (two tensors each of weights, velocity and an update; the weights of updates), four outputs.
    function _outerLeaves() private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](12);
        leaves[7] = Rfc9162.leafHash(_port());
    }

    function _suite() private pure returns (Programs.Suite memory s) {
        (s.tensors, s.sequences, s.length, s.outerCount) = (2, 1, LENGTH, 1);
        s.outerRoot = Rfc9162.leafHash(abi.encodePacked(uint32(1), MerkleTree.root(_outerLeaves())));
    }

    function _program() private pure returns (IJudge.Program memory) {
        return IJudge.Program(_suite(), 1, MerkleTree.root(_outerLeaves()), new bytes32[](0));
    }

    // --- the dataset ---

    function _text() private pure returns (bytes memory text) {
        text = new bytes(2 * TOKENS);
        for (uint256 i = 0; i < TOKENS; ++i) {
            text[2 * i] = bytes1(uint8(i));
        }
    }

    function _shardsRoot() private pure returns (bytes32) {
        bytes32 root = Rfc9162.leafHash(_text());
        return Rfc9162.leafHash(abi.encodePacked("a", bytes1(0), uint64(0), uint64(TOKENS), root));
    }

    /// @dev The batch of `node`'s first step as the randomness of `round` draws it.
    function _drawn(address node, uint64 round) private view returns (bytes memory batch) {
        bytes32 randomness = registry.roundOf(round).randomness;
        bytes32 draw = sha256(abi.encodePacked("ponw/batch/1", randomness, node, uint32(0), uint32(0)));
        uint256 at = uint256(draw) % (TOKENS + 1 - LENGTH);
        batch = new bytes(4 * LENGTH);
        for (uint256 i = 0; i < LENGTH; ++i) {
            batch[4 * i] = bytes1(uint8(at + i));
        }
    }

    function _tokenProof(bytes memory batch) private pure returns (IJudge.TokenProof memory p) {
        bytes32[] memory none = new bytes32[](0);
        (p.leaf, p.text) = (IJudge.Leaf(0, batch, none), IJudge.Leaf(0, _text(), none));
        (p.shards, p.trainTokens, p.shardsRoot, p.shardProof) = (1, TOKENS, _shardsRoot(), none);
        (p.name, p.tokens, p.root) = ("a", uint64(TOKENS), Rfc9162.leafHash(_text()));
    }

    /// @dev Bob's game about the one step of `node`'s claim from `base`, done on `batch`.
    function _stepGame(address node, uint64 base, bytes memory batch) private returns (Dispute memory d) {
        Claim memory c = _late(node, 1, base);
        bytes32 root = Rfc9162.leafHash(batch);
        (c.endRoot, c.traceRoot) = (STATE, Rfc9162.traceLeaf(STATE, root, 0, 0));
        _post(c);
        _challenge(bob, c, 0);
        IWorkRegistry.Opening memory leaf = IWorkRegistry.Opening(STATE, root, 0, new bytes32[](0));
        _send(c, bob, leaf, leaf);
        d = Dispute(c, bob, 0, c.startRoot, STATE, root, 0, TRACE);
    }

    function _twoRounds(uint256 wait) private {
        registry.openRound();
        _skip(wait);
        registry.openRound();
    }

    function test_batches_of_a_late_claim_are_those_of_its_base() public {
        _twoRounds(1 days);
        bytes memory batch = _drawn(alice, 1);
        vm.assertTrue(keccak256(batch) != keccak256(_drawn(alice, 2)), "else this shows nothing");
        _proveToken(_stepGame(alice, 1, batch), batch, true);
    }

    function test_batches_of_the_round_it_is_posted_in_lose_a_late_claim() public {
        _twoRounds(1 days);
        bytes memory batch = _drawn(alice, 2);
        _proveToken(_stepGame(alice, 1, batch), batch, false);
    }

    function test_batches_of_a_claim_on_time_are_those_of_its_round() public {
        _twoRounds(1 days);
        bytes memory batch = _drawn(carol, 2);
        _proveToken(_stepGame(carol, 2, batch), batch, true);
        batch = _drawn(alice, 1);
        _proveToken(_stepGame(alice, 2, batch), batch, false);
    }

    /// @dev Proofs are built before a call is expected to fail or made in another's name: hashing is a call too.
    function _proveToken(Dispute memory d, bytes memory batch, bool stands) private {
        (IJudge.Program memory program, IJudge.TokenProof memory proof) = (_program(), _tokenProof(batch));
        if (stands) vm.expectRevert(IJudge.NothingWrong.selector);
        vm.prank(bob);
        judge.proveToken(d, program, proof);
        _assertState(d.claim, stands ? ClaimState.Posted : ClaimState.Lost, stands ? 1 : 0);
    }

    // --- weights ---

    function _bytes(uint256 weight) private pure returns (bytes memory data) {
        data = new bytes(8);
        for (uint256 i = 0; i < 8; ++i) {
            data[i] = bytes1(uint8(weight >> (8 * i)));
        }
    }

    /// @dev Carol's game about an outer step that gives the one claim of the round, which is final, `weight`.
    function _outerGame(uint256 weight) private returns (Dispute memory d) {
        Claim memory c = _outer(bob, NEXT);
        _post(c);
        _challenge(carol, c, 0);
        IWorkRegistry.Opening memory leaf = IWorkRegistry.Opening(NEXT, c.updateRoot, 0, new bytes32[](0));
        bytes32 trace = Rfc9162.leafHash(abi.encodePacked(Rfc9162.leafHash(_bytes(weight))));
        vm.prank(bob);
        registry.answer(c, carol, leaf, leaf, trace);
        d = Dispute(c, carol, 0, c.startRoot, NEXT, c.updateRoot, 0, trace);
    }

    function _countProof(Claim memory source, uint256 weight) private view returns (IJudge.CountProof memory p) {
        bytes32[] memory none = new bytes32[](0);
        p.leaf = IJudge.Leaf(0, _bytes(weight), none);
        (p.port.port, p.port.data, p.port.source) = (6, _port(), source);
        p.port.proof = MerkleTree.path(_outerLeaves(), 7);
        p.port.output = IJudge.OutputRoot(Rfc9162.leafHash(_bytes(weight)), none, none);
        p.port.finals = new bytes32[](1);
        p.port.finals[0] = registry.hashClaim(source);
    }

    /// @dev The game that carol has when alice's claim of 100 steps, `age` old, is given `weight`.
    function _counted(uint256 age, uint256 weight) private returns (Dispute memory d, IJudge.CountProof memory proof) {
        registry.openRound();
        if (age != 0) {
            _skip(age);
            registry.openRound();
        }
        Claim memory c = _late(alice, 100, 1);
        _post(c);
        _afterWindow();
        registry.finalise(c);
        return (_outerGame(weight), _countProof(c, weight));
    }

    function _proveCount(uint256 age, uint256 weight, bool stands) private {
        IJudge.Program memory program = _program();
        (Dispute memory d, IJudge.CountProof memory proof) = _counted(age, weight);
        if (stands) vm.expectRevert(IJudge.NothingWrong.selector);
        vm.prank(carol);
        judge.proveCount(d, program, proof);
        _assertState(d.claim, stands ? ClaimState.Posted : ClaimState.Lost, stands ? 1 : 0);
    }

    function _standsOnlyWith(uint256 age, uint256 weight) private {
        uint256 fork = vm.snapshotState();
        _proveCount(age, weight, true);
        vm.assertTrue(vm.revertToState(fork));
        vm.warp(time);
        _proveCount(age, weight + 1, false);
    }

    function test_weight_on_time() public {
        _standsOnlyWith(0, 100_000);
    }

    function test_weight_after_more_than_an_hour() public {
        _standsOnlyWith(TRAIN_TIME + WINDOW + 1, 70_000);
    }

    function test_weight_at_the_edge_of_a_day() public {
        _standsOnlyWith(1 days - 1, 70_000);
    }

    function test_weight_after_a_day() public {
        _standsOnlyWith(1 days, 30_000);
    }

    function test_a_late_update_counted_as_one_on_time_loses_the_outer_step() public {
        _proveCount(1 days, Rewards.updateWeight(100, 0), false);
    }
}
