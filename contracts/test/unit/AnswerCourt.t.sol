// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { AnswerCourt } from "../../src/AnswerCourt.sol";
import { IAnswerCourt } from "../../src/interfaces/IAnswerCourt.sol";
import { IJudge } from "../../src/interfaces/IJudge.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { Fixture } from "../utils/Fixture.sol";
import { ScriptedJudge } from "../utils/ScriptedJudge.sol";

/// @notice Accusations of signed answers: every revert, and every way the money goes.
contract AnswerCourtTest is Fixture {
    uint32 internal constant TOKENS = 5;
    uint64 internal constant ACCUSABLE = 1 days;
    uint256 internal constant ALICE = 0xA11CE;

    AnswerCourt internal court;
    ScriptedJudge internal scripted;
    Claim internal answered;

    function setUp() public override {
        vm.warp(time);
        // Nothing else may take a nonce in between.
        _install(_config());
        scripted = new ScriptedJudge();
        court = new AnswerCourt(staking, IJudge(address(scripted)), _courtTerms());
        _fund(alice);
        _fund(bob);
        _fund(carol);
        answered = _signedAt(time);
    }

    function _config() internal view override returns (Config memory c) {
        c = super._config();
        // After the nine of the network, and the scripted judge.
        c.court = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 11);
    }

    function _courtTerms() private pure returns (IAnswerCourt.Terms memory) {
        return IAnswerCourt.Terms(BOND, CHALLENGE_BOND, ACCUSABLE, RESPONSE);
    }

    function _signedAt(uint256 when) private view returns (Claim memory c) {
        c = _train(alice, TOKENS);
        // forge-lint: disable-next-line(unsafe-typecast)
        (c.kind, c.round, c.tokens, c.base) = (ClaimLib.ANSWER, uint64(when), 7, 0);
    }

    function _sign(uint256 key, Claim memory c) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, court.hashClaim(c));
        return abi.encodePacked(r, s, v);
    }

    function _accuse(address who, Claim memory c, uint32 step) private {
        bytes memory signature = _sign(ALICE, c);
        vm.prank(who);
        court.accuse(c, signature, step);
    }

    function _respond(Claim memory c, address challenger) private {
        uint32 step = court.accusationOf(court.hashClaim(c), challenger).step;
        IWorkRegistry.Opening memory opened = _opening(c.node, TOKENS, step);
        vm.prank(c.node);
        court.answer(c, challenger, opened, TRACE);
    }

    function _rule(address challenger, bool serverWon) private {
        scripted.decide(IWorkRegistry(address(court)), answered, challenger, serverWon);
    }

    function _state(address challenger) private view returns (IAnswerCourt.State) {
        return court.accusationOf(court.hashClaim(answered), challenger).state;
    }

    // --- money ---

    function test_an_accusation_locks_both_bonds() public {
        _accuse(bob, answered, 2);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
        vm.assertEq(_lockedOf(bob), CHALLENGE_BOND);
        vm.assertTrue(_state(bob) == IAnswerCourt.State.Waiting);
    }

    function test_a_second_accuser_locks_nothing_more_of_the_server() public {
        _accuse(bob, answered, 2);
        _accuse(carol, answered, 3);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
        _respond(answered, bob);
        _rule(bob, true);
        vm.assertEq(_lockedOf(alice), 2 * BOND, "one accusation is still open");
        _respond(answered, carol);
        _rule(carol, true);
        vm.assertEq(_lockedOf(alice), 0);
        vm.assertEq(staking.creditOf(alice), CHALLENGE_BOND);
    }

    function test_a_wrong_answer_costs_twice_the_bond() public {
        _accuse(bob, answered, 2);
        _respond(answered, bob);
        uint256 supply = token.totalSupply();
        _rule(bob, false);
        vm.assertEq(staking.activeOf(alice), STAKE - 2 * BOND);
        vm.assertEq(staking.creditOf(bob), BOND);
        vm.assertEq(supply - token.totalSupply(), BOND);
        vm.assertEq(_lockedOf(alice), 0);
        vm.assertEq(_lockedOf(bob), 0);
    }

    function test_a_right_answer_costs_its_accuser() public {
        _accuse(bob, answered, 2);
        _respond(answered, bob);
        _rule(bob, true);
        vm.assertEq(staking.activeOf(bob), STAKE - CHALLENGE_BOND);
        vm.assertEq(staking.creditOf(alice), CHALLENGE_BOND / 2);
        vm.assertEq(_lockedOf(alice), 0);
        vm.assertEq(_lockedOf(bob), 0);
    }

    function test_silence_loses() public {
        _accuse(bob, answered, 2);
        _skip(RESPONSE + 1);
        court.timeout(answered, bob);
        vm.assertEq(staking.activeOf(alice), STAKE - 2 * BOND);
        vm.assertTrue(_state(bob) == IAnswerCourt.State.Won);
    }

    function test_an_answer_is_slashed_once_however_many_accuse() public {
        _accuse(bob, answered, 2);
        _accuse(carol, answered, 2);
        _skip(RESPONSE + 1);
        court.timeout(answered, bob);
        vm.expectRevert(IAnswerCourt.AlreadyLost.selector);
        court.timeout(answered, carol);
        court.reclaim(answered, carol);
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(staking.activeOf(alice), STAKE - 2 * BOND);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.NotAccused.selector, IAnswerCourt.State.Failed));
        court.reclaim(answered, carol);
    }

    function test_stake_on_its_way_out_is_slashed_too() public {
        vm.prank(alice);
        staking.thaw(STAKE);
        _accuse(bob, answered, 2);
        vm.assertEq(_lockedOf(alice), 0, "nothing is left to lock");
        _skip(RESPONSE + 1);
        court.timeout(answered, bob);
        vm.assertEq(_account(alice).thawing, STAKE - 2 * BOND);
        vm.assertEq(staking.creditOf(bob), BOND);
    }

    function testFuzz_other_bonds_stay_locked(uint96 other) public {
        uint256 bond = other % (STAKE + 1);
        if (bond != 0) {
            vm.prank(address(registry));
            staking.lock(alice, bond);
        }
        _accuse(bob, answered, 0);
        uint256 free = STAKE - bond;
        vm.assertEq(_lockedOf(alice), bond + (free < 2 * BOND ? free : 2 * BOND));
        _respond(answered, bob);
        _rule(bob, true);
        vm.assertEq(_lockedOf(alice), bond);
    }

    // --- pointing elsewhere ---

    function test_a_game_may_move_once() public {
        _accuse(bob, answered, 2);
        _respond(answered, bob);
        scripted.move(IWorkRegistry(address(court)), answered, bob, 4);
        vm.assertEq(court.accusationOf(court.hashClaim(answered), bob).step, 4);
        _respond(answered, bob);
        vm.assertEq(scripted.dispute().step, 4);
        vm.expectRevert(IAnswerCourt.AlreadyMoved.selector);
        scripted.move(IWorkRegistry(address(court)), answered, bob, 1);
    }

    // --- refusals ---

    function test_revert_miswired() public {
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.Miswired.selector, address(court)));
        new AnswerCourt(staking, IJudge(address(scripted)), _courtTerms());
    }

    function test_revert_an_answer_with_a_base() public {
        Claim memory c = answered;
        c.base = 1;
        bytes memory signature = _sign(ALICE, c);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.WrongBase.selector, 1));
        court.accuse(c, signature, 2);
    }

    function test_revert_another_kind() public {
        Claim memory c = answered;
        c.kind = ClaimLib.TRAIN;
        bytes memory signature = _sign(ALICE, c);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.NotAnAnswer.selector, ClaimLib.TRAIN));
        court.accuse(c, signature, 2);
    }

    function test_revert_signed_by_somebody_else() public {
        bytes memory signature = _sign(0xB0B, answered);
        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.NotSigned.selector, bob));
        court.accuse(answered, signature, 2);
    }

    function testFuzz_revert_any_field_altered(uint8 field, uint256 by) public {
        bytes memory signature = _sign(ALICE, answered);
        bytes memory packed = abi.encode(answered);
        uint256 at = 1 + field % 12;
        uint256 bit = 1 << (by % 16);
        assembly ("memory-safe") {
            let word := add(packed, mul(32, add(at, 1)))
            mstore(word, xor(mload(word), bit))
        }
        Claim memory c = abi.decode(packed, (Claim));
        vm.prank(bob);
        vm.expectRevert();
        court.accuse(c, signature, 2);
    }

    function test_revert_replay_on_another_chain() public {
        bytes memory signature = _sign(ALICE, answered);
        vm.chainId(7);
        vm.prank(bob);
        vm.expectRevert();
        court.accuse(answered, signature, 2);
    }

    function test_revert_after_the_window() public {
        _skip(ACCUSABLE);
        _accuse(carol, answered, 2);
        _skip(1);
        bytes memory signature = _sign(ALICE, answered);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.TooLate.selector, time - 1));
        court.accuse(answered, signature, 2);
    }

    function test_revert_accused_twice() public {
        _accuse(bob, answered, 2);
        bytes memory signature = _sign(ALICE, answered);
        vm.prank(bob);
        vm.expectRevert(IAnswerCourt.AlreadyAccused.selector);
        court.accuse(answered, signature, 3);
        _respond(answered, bob);
        _rule(bob, true);
        vm.prank(bob);
        vm.expectRevert(IAnswerCourt.AlreadyAccused.selector);
        court.accuse(answered, signature, 3);
    }

    function test_revert_accused_after_it_was_lost() public {
        _accuse(bob, answered, 2);
        _skip(RESPONSE + 1);
        court.timeout(answered, bob);
        bytes memory signature = _sign(ALICE, answered);
        vm.prank(carol);
        vm.expectRevert(IAnswerCourt.AlreadyLost.selector);
        court.accuse(answered, signature, 3);
    }

    function test_revert_accused_by_the_server_itself() public {
        bytes memory signature = _sign(ALICE, answered);
        vm.prank(alice);
        vm.expectRevert(IAnswerCourt.SelfAccusation.selector);
        court.accuse(answered, signature, 2);
    }

    function test_revert_accused_by_no_staker() public {
        bytes memory signature = _sign(ALICE, answered);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        court.accuse(answered, signature, 2);
    }

    function test_revert_a_token_that_is_not_there() public {
        bytes memory signature = _sign(ALICE, answered);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.StepOutOfRange.selector, TOKENS, TOKENS));
        court.accuse(answered, signature, TOKENS);
    }

    function test_revert_answers_out_of_order() public {
        IWorkRegistry.Opening memory opened = _opening(alice, TOKENS, 2);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.NotServer.selector, address(this)));
        court.answer(answered, bob, opened, TRACE);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.NotAccused.selector, IAnswerCourt.State.None));
        court.answer(answered, bob, opened, TRACE);
        vm.stopPrank();
        _accuse(bob, answered, 2);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.TooEarly.selector, time + RESPONSE));
        court.timeout(answered, bob);
        IWorkRegistry.Opening memory other = _opening(alice, TOKENS, 3);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.BadProof.selector, 2));
        court.answer(answered, bob, other, TRACE);
        _skip(RESPONSE + 1);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.TooLate.selector, time - 1));
        court.answer(answered, bob, opened, TRACE);
        vm.stopPrank();
    }

    function test_revert_rulings_by_anyone_but_the_judge() public {
        _accuse(bob, answered, 2);
        _respond(answered, bob);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.OnlyJudge.selector, bob));
        court.rule(answered, bob, false, ClaimLib.NO_OP, 0);
        vm.expectRevert(abi.encodeWithSelector(IAnswerCourt.OnlyJudge.selector, bob));
        court.repoint(answered, bob, 1);
        vm.stopPrank();
    }
}
