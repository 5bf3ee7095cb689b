// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { Dispute, IJudge } from "../../src/interfaces/IJudge.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { Rfc9162 } from "../../src/libraries/Rfc9162.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @notice Attacks on claims, games and rewards with the judge deployed, one a test.
contract ClaimAttacksTest is Fixture {
    uint32 internal constant STEPS = 4;
    address internal immutable mallory = vm.addr(0x3A11021);

    function setUp() public override {
        super.setUp();
        _fund(mallory);
    }

    function _config() internal view override returns (Config memory c) {
        c = super._config();
        c.extension = 60;
    }

    function _game() private returns (Dispute memory d) {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 2);
        _answer(c, bob);
        d = Dispute(c, bob, 2, _state(alice, 1), _state(alice, 2), _batch(alice, 2), uint32(14), TRACE);
        vm.assertTrue(judge.clockOf(judge.gameOf(d)).deadline != 0, "the game is open");
    }

    function test_attack_mempool_copied_proof_moves_for_its_challenger_only() public {
        Dispute memory d = _game();
        IJudge.Program memory p;
        IJudge.SourceProof memory copied;
        bytes memory denied = abi.encodeWithSelector(IJudge.NotChallenger.selector, mallory);
        vm.startPrank(mallory);
        vm.expectRevert(denied);
        judge.proveSource(d, p, copied);
        vm.expectRevert(denied);
        judge.repoint(d, 1);
        // Under the copier's own name it is another game, which nobody opened.
        d.challenger = mallory;
        vm.expectRevert(abi.encodeWithSelector(IJudge.NoGame.selector, judge.gameOf(d)));
        judge.proveSource(d, p, copied);
        vm.stopPrank();
    }

    function test_attack_last_second_move_leaves_the_other_party_its_clock() public {
        Dispute memory d = _game();
        bytes32 game = judge.gameOf(d);
        uint64 deadline = judge.clockOf(game).deadline;
        _skip(deadline - time);
        vm.expectRevert(abi.encodeWithSelector(IJudge.TooEarly.selector, deadline));
        judge.timeout(d);
        vm.prank(bob);
        judge.repoint(d, 1);
        vm.assertEq(uint256(registry.challengeOf(registry.hashClaim(d.claim), bob).deadline), time + RESPONSE);
    }

    function test_attack_last_second_move_of_a_challenge() public {
        Claim memory c = _posted(alice, STEPS);
        _skip(TRAIN_TIME + WINDOW);
        _challenge(bob, c, 0);
        uint256 deadline = registry.challengeOf(registry.hashClaim(c), bob).deadline;
        vm.assertEq(deadline, time + RESPONSE, "a whole response time beyond the window");
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.ChallengesOpen.selector, 1));
        registry.finalise(c);
    }

    function test_attack_reorged_move_hits_no_other_claim() public {
        uint256 fork = vm.snapshotState();
        Claim memory first = _posted(mallory, STEPS);
        _challenge(bob, first, 0);
        // In the other branch the prover posts another claim; the challenge of the first one finds nothing to hit.
        vm.assertTrue(vm.revertToState(fork));
        registry.openRound();
        Claim memory second = _train(mallory, STEPS - 1);
        _post(second);
        vm.expectRevert(_notOpen(first));
        _challenge(bob, first, 0);
        vm.assertEq(_lockedOf(bob), 0);
    }

    function test_attack_claim_replay_in_the_next_round() public {
        Claim memory c = _posted(mallory, STEPS);
        _afterWindow();
        registry.finalise(c);
        _skip(TRAIN_TIME + WINDOW + TRAIN_TIME + 2);
        registry.openRound();
        vm.expectRevert();
        _post(c);
        vm.assertEq(emission.accruedOf(mallory), _onlyReward());
    }

    function _onlyReward() private view returns (uint256 reward) {
        (uint32 finals,,) = registry.recordOf(mallory);
        vm.assertEq(uint256(finals), 1);
        reward = emission.accruedOf(mallory);
        vm.assertTrue(reward != 0);
    }

    function test_attack_bad_reward_root() public {
        // No root pays here: a reward follows from the steps of a final claim, which the registry counts itself.
        Claim memory c = _posted(alice, STEPS);
        _afterWindow();
        registry.finalise(c);
        uint256 one = emission.accruedOf(alice);
        vm.expectRevert();
        registry.finalise(c);
        vm.expectRevert(abi.encodeWithSelector(IEmission.OnlyKeeper.selector, mallory));
        vm.prank(mallory);
        emission.accrue(mallory, 1_000_000 * NEURO);
        vm.expectRevert(IEmission.NothingToCollect.selector);
        vm.prank(mallory);
        emission.collect();
        vm.assertEq(emission.accruedOf(alice), one);
    }

    function test_attack_bad_reward_root_by_counting_more_tokens() public {
        registry.openRound();
        Claim memory c = _train(mallory, STEPS);
        c.tokens += 1024;
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongTokens.selector, c.tokens, STEPS * 1024));
        _post(c);
        c = _train(mallory, STEPS);
        (c.steps, c.tokens) = (1001, 1001 * 1024);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongSteps.selector, 1001, 1000));
        _post(c);
    }

    function verify(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Rfc9162.verifyInclusion(root, leaf, index, size, proof);
    }

    function test_attack_merkle_second_preimage() public view {
        bytes32[] memory leaves = _leaves(alice, 4);
        bytes32 left = sha256(abi.encodePacked(hex"01", leaves[0], leaves[1]));
        bytes32 right = sha256(abi.encodePacked(hex"01", leaves[2], leaves[3]));
        bytes32 root = sha256(abi.encodePacked(hex"01", left, right));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = right;
        // An inner node is the leaf of no tree of the claim's size, and no data of a leaf hashes to a node.
        vm.assertTrue(this.verify(root, left, 0, 2, proof), "in a tree of two it would be");
        for (uint256 index = 0; index < 4; ++index) {
            vm.assertFalse(this.verify(root, left, index, 4, proof));
        }
        vm.assertTrue(Rfc9162.leafHash(abi.encodePacked(leaves[0], leaves[1])) != left);
    }

    function test_attack_unbounded_loop_of_challenges_is_no_loop() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 0);
        uint256 before = gasleft();
        _challenge(carol, c, 0);
        uint256 second = before - gasleft();
        before = gasleft();
        _challenge(mallory, c, 0);
        vm.assertLt(before - gasleft(), second + 5000, "a challenge costs the same, however many there are");
    }
}
