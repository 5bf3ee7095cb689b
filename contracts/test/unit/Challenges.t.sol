// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Dispute } from "../../src/interfaces/IJudge.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Fixture } from "../utils/Fixture.sol";
import { ScriptedJudge } from "../utils/ScriptedJudge.sol";

/// @notice challenge, answer, timeout and reclaim, with every revert in them.
contract ChallengesTest is Fixture {
    uint32 internal constant STEPS = 10;

    function _challengeOf(Claim memory c, address who) internal view returns (IWorkRegistry.Challenge memory) {
        return registry.challengeOf(registry.hashClaim(c), who);
    }

    // --- challenge ---

    function test_challenge() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimChallenged(registry.hashClaim(c), alice, bob, 4, uint64(time + RESPONSE));
        _challenge(bob, c, 4);
        _assertState(c, ClaimState.Posted, 1);
        IWorkRegistry.Challenge memory ch = _challengeOf(c, bob);
        vm.assertEq(uint256(ch.state), uint256(IWorkRegistry.ChallengeState.Waiting));
        vm.assertEq(ch.step, 4);
        vm.assertEq(ch.deadline, time + RESPONSE);
        vm.assertEq(_lockedOf(bob), CHALLENGE_BOND);
    }

    function test_challenge_in_the_last_second_leaves_the_whole_clock() public {
        Claim memory c = _posted(alice, STEPS);
        _skip(TRAIN_TIME + WINDOW);
        _challenge(bob, c, 4);
        _skip(RESPONSE);
        _answer(c, bob);
        registry.finalise(c);
    }

    function test_revert_challenge_after_the_window() public {
        Claim memory c = _posted(alice, STEPS);
        _afterWindow();
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.TooLate.selector, time - 1));
        _challenge(bob, c, 4);
    }

    function test_revert_challenge_of_itself() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(IRegistryErrors.SelfChallenge.selector);
        _challenge(alice, c, 4);
    }

    function test_revert_challenge_outside_the_steps() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.StepOutOfRange.selector, STEPS + 1, STEPS));
        _challenge(bob, c, STEPS + 1);
    }

    function test_challenge_of_the_update_opens_no_leaf() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, STEPS);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ChallengeAnswered(
            registry.hashClaim(c), alice, bob, STEPS, c.startRoot, c.updateRoot, bytes32(0), 0, TRACE
        );
        _answer(c, bob);
    }

    function test_revert_challenge_twice() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        vm.expectRevert(IRegistryErrors.AlreadyChallenged.selector);
        _challenge(bob, c, 5);
    }

    function test_revert_challenge_by_no_staker() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        registry.challenge(c, 4);
    }

    function test_revert_challenge_of_a_claim_that_is_not_open() public {
        Claim memory c = _posted(alice, STEPS);
        c.endRoot = bytes32(0);
        vm.expectRevert(_notOpen(c));
        _challenge(bob, c, 4);
    }

    function test_revert_sixteenth_challenge() public {
        Claim memory c = _posted(alice, STEPS);
        for (uint256 i = 1; i <= 256; ++i) {
            address challenger = vm.addr(1000 + i);
            vm.assertTrue(token.transfer(challenger, 2 * STAKE));
            vm.startPrank(challenger);
            token.approve(address(staking), STAKE);
            staking.stake(STAKE);
            vm.stopPrank();
            if (i == 256) vm.expectRevert(IRegistryErrors.TooManyChallenges.selector);
            _challenge(challenger, c, 4);
        }
        _assertState(c, ClaimState.Posted, 255);
        // One answer makes room again.
        _answer(c, vm.addr(1001));
        _challenge(vm.addr(1256), c, 4);
    }

    // --- answer ---

    function test_answer_ends_the_challenge_for_the_prover() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ChallengeAnswered(
            registry.hashClaim(c), alice, bob, 4, _state(alice, 3), _state(alice, 4), _batch(alice, 4), 28, TRACE
        );
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ChallengeFailed(registry.hashClaim(c), alice, bob);
        _answer(c, bob);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(_account(bob).active, STAKE - CHALLENGE_BOND);
        vm.assertEq(_lockedOf(bob), 0);
        vm.assertEq(staking.creditOf(alice), CHALLENGE_BOND / 2);
        vm.assertEq(supply - token.totalSupply(), CHALLENGE_BOND / 2);
        vm.assertEq(uint256(_challengeOf(c, bob).state), 0);
    }

    function test_answer_of_every_step_of_every_size_to_9() public {
        for (uint32 steps = 1; steps <= 9; ++steps) {
            Claim memory c = _posted(alice, steps);
            for (uint32 step = 0; step < steps; ++step) {
                _challenge(bob, c, step);
                _answer(c, bob);
            }
            _afterWindow();
            registry.finalise(c);
            Claim memory outer = _outer(carol, keccak256(abi.encode(steps)));
            _post(outer);
            _skip(WINDOW + 1);
            registry.finalise(outer);
        }
    }

    function test_answer_of_the_first_step_starts_from_the_start_root() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 0);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ChallengeAnswered(
            registry.hashClaim(c), alice, bob, 0, c.startRoot, _state(alice, 0), _batch(alice, 0), 0, TRACE
        );
        _answer(c, bob);
    }

    function test_answer_in_the_last_second() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _skip(RESPONSE);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.TooEarly.selector, time));
        registry.timeout(c, bob);
        _answer(c, bob);
    }

    function test_revert_answer_too_late() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _skip(RESPONSE + 1);
        IWorkRegistry.Opening memory a = _opening(alice, STEPS, 3);
        IWorkRegistry.Opening memory b = _opening(alice, STEPS, 4);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.TooLate.selector, time - 1));
        _send(c, bob, a, b);
    }

    function test_revert_answer_without_challenge() public {
        Claim memory c = _posted(alice, STEPS);
        IWorkRegistry.Opening memory a = _opening(alice, STEPS, 3);
        vm.expectRevert(IRegistryErrors.NotWaiting.selector);
        _send(c, bob, a, a);
    }

    function test_revert_answer_with_other_leaves() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        IWorkRegistry.Opening memory three = _opening(alice, STEPS, 3);
        IWorkRegistry.Opening memory four = _opening(alice, STEPS, 4);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, 4));
        _send(c, bob, three, three);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, 3));
        _send(c, bob, four, four);
        four.lossBits ^= 1;
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, 4));
        _send(c, bob, three, four);
    }

    function test_revert_answer_of_the_last_step_that_is_not_the_end_root() public {
        registry.openRound();
        Claim memory c = _train(alice, STEPS);
        c.endRoot = keccak256("better than the trace");
        _post(c);
        _challenge(bob, c, STEPS - 1);
        IWorkRegistry.Opening memory a = _opening(alice, STEPS, STEPS - 2);
        IWorkRegistry.Opening memory b = _opening(alice, STEPS, STEPS - 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongEndRoot.selector, b.stateRoot, c.endRoot));
        _send(c, bob, a, b);
    }

    function testFuzz_garbage_never_answers(bytes32 state, bytes32 batch, uint32 loss, bytes32[] calldata proof)
        public
    {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 0);
        IWorkRegistry.Opening memory junk = IWorkRegistry.Opening(state, batch, loss, proof);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, 0));
        _send(c, bob, junk, junk);
    }

    // --- timeout ---

    function test_timeout_loses_the_claim() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _skip(RESPONSE + 1);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimLost(1, alice, registry.hashClaim(c), bob, 4, IWorkRegistry.LossReason.Silence);
        registry.timeout(c, bob);
        _assertState(c, ClaimState.Lost, 0);
        vm.assertEq(_account(alice).active, STAKE - 2 * BOND);
        vm.assertEq(_lockedOf(alice), 0);
        vm.assertEq(_lockedOf(bob), 0);
        vm.assertEq(_account(bob).active, STAKE);
        vm.assertEq(staking.creditOf(bob), BOND);
        vm.assertEq(supply - token.totalSupply(), BOND);
        vm.assertEq(registry.roundOf(1).unresolved, 0);
    }

    function test_timeout_takes_the_reputation() public {
        Claim memory c = _posted(alice, STEPS);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(alice, keccak256("next"));
        _post(outer);
        _loseBySilence(outer, bob);
        (uint32 finals, uint64 lostRound, uint64 base) = registry.recordOf(alice);
        vm.assertEq(finals, 0);
        vm.assertEq(lostRound, 1);
        vm.assertEq(base, 1);
    }

    function test_revert_timeout_without_challenge() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(IRegistryErrors.NotWaiting.selector);
        registry.timeout(c, bob);
    }

    function test_revert_timeout_of_a_lost_claim() public {
        Claim memory c = _posted(alice, STEPS);
        _loseBySilence(c, bob);
        vm.expectRevert(_notOpen(c));
        registry.timeout(c, bob);
    }

    // --- reclaim ---

    function test_other_challengers_take_their_bond_back() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _challenge(carol, c, 5);
        _skip(RESPONSE + 1);
        registry.timeout(c, bob);
        vm.assertEq(_lockedOf(carol), CHALLENGE_BOND);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ChallengeReleased(registry.hashClaim(c), alice, carol);
        registry.reclaim(c, carol);
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(_account(carol).active, STAKE);
        vm.expectRevert(IRegistryErrors.NoChallenge.selector);
        registry.reclaim(c, carol);
    }

    function test_reclaim_after_the_slot_was_used_again() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _challenge(carol, c, 5);
        _skip(RESPONSE + 1);
        registry.timeout(c, bob);
        _afterWindow();
        Claim memory next = _posted(alice, STEPS);
        registry.reclaim(c, carol);
        vm.assertEq(_lockedOf(carol), 0);
        _assertState(next, ClaimState.Posted, 0);
    }

    function test_revert_reclaim_while_the_claim_is_open() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        vm.expectRevert(IRegistryErrors.ClaimStillOpen.selector);
        registry.reclaim(c, bob);
    }

    function test_revert_reclaim_nothing() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(IRegistryErrors.NoChallenge.selector);
        registry.reclaim(c, bob);
    }

    // --- no judge ---

    function test_revert_rule_without_judge() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.OnlyJudge.selector, address(this)));
        registry.rule(c, bob, true, ClaimLib.NO_OP, 0);
    }
}

/// @notice The seam to the judge.
contract JudgedChallengesTest is Fixture {
    uint32 internal constant STEPS = 10;
    ScriptedJudge internal scripted;

    function _config() internal view override returns (Config memory c) {
        c = super._config();
        c.parameters.judge = address(scripted);
    }

    function setUp() public override {
        scripted = new ScriptedJudge();
        super.setUp();
    }

    function _judged() internal returns (Claim memory c) {
        c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        _answer(c, bob);
    }

    function test_answer_hands_the_challenge_to_the_judge() public {
        Claim memory c = _judged();
        Dispute memory d = Dispute(c, bob, 4, _state(alice, 3), _state(alice, 4), _batch(alice, 4), 4 * 7, TRACE);
        vm.assertEq(keccak256(abi.encode(scripted.dispute())), keccak256(abi.encode(d)));
        _assertState(c, ClaimState.Posted, 1);
        vm.assertEq(_lockedOf(bob), CHALLENGE_BOND);
    }

    function test_judged_challenge_has_no_clock_here() public {
        Claim memory c = _judged();
        _afterWindow();
        vm.expectRevert(IRegistryErrors.NotWaiting.selector);
        registry.timeout(c, bob);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.ChallengesOpen.selector, 1));
        registry.finalise(c);
        IWorkRegistry.Opening memory o = _opening(alice, STEPS, 3);
        vm.expectRevert(IRegistryErrors.NotWaiting.selector);
        _send(c, bob, o, o);
    }

    function test_repoint_starts_the_provers_clock_again_once() public {
        Claim memory c = _judged();
        scripted.move(registry, c, bob, 1);
        IWorkRegistry.Challenge memory moved = registry.challengeOf(registry.hashClaim(c), bob);
        vm.assertEq(uint256(moved.state), uint256(IWorkRegistry.ChallengeState.Waiting));
        vm.assertEq(moved.step, 1);
        vm.assertEq(moved.deadline, time + RESPONSE);
        vm.assertEq(_lockedOf(bob), CHALLENGE_BOND);
        _answer(c, bob);
        vm.expectRevert(IRegistryErrors.AlreadyMoved.selector);
        scripted.move(registry, c, bob, 2);
        scripted.decide(registry, c, bob, false);
        _assertState(c, ClaimState.Lost, 0);
    }

    function test_repoint_and_silence_loses_the_claim() public {
        Claim memory c = _judged();
        scripted.move(registry, c, bob, 0);
        _skip(RESPONSE + 1);
        registry.timeout(c, bob);
        _assertState(c, ClaimState.Lost, 0);
    }

    function test_revert_repoint() public {
        Claim memory c = _judged();
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.OnlyJudge.selector, address(this)));
        registry.repoint(c, bob, 1);
        vm.expectRevert(IRegistryErrors.NoChallenge.selector);
        scripted.move(registry, c, carol, 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.StepOutOfRange.selector, STEPS + 1, STEPS));
        scripted.move(registry, c, bob, STEPS + 1);
    }

    function test_ruling_for_the_prover() public {
        Claim memory c = _judged();
        scripted.decide(registry, c, bob, true);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(staking.creditOf(alice), CHALLENGE_BOND / 2);
        _afterWindow();
        registry.finalise(c);
    }

    function test_ruling_for_the_challenger() public {
        Claim memory c = _judged();
        _challenge(carol, c, 5);
        _answer(c, carol);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimLost(1, alice, registry.hashClaim(c), bob, 4, IWorkRegistry.LossReason.Ruling);
        scripted.decide(registry, c, bob, false);
        _assertState(c, ClaimState.Lost, 0);
        vm.assertEq(staking.creditOf(bob), BOND);
        registry.reclaim(c, carol);
        vm.assertEq(_lockedOf(carol), 0);
    }

    function test_revert_rule() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 4);
        vm.expectRevert(IRegistryErrors.NoChallenge.selector);
        scripted.decide(registry, c, bob, false);
        _answer(c, bob);
        scripted.decide(registry, c, bob, true);
        vm.expectRevert(IRegistryErrors.NoChallenge.selector);
        scripted.decide(registry, c, bob, true);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.OnlyJudge.selector, alice));
        vm.prank(alice);
        registry.rule(c, bob, true, ClaimLib.NO_OP, 0);
    }
}
