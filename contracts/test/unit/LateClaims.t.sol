// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @notice Claims whose work began in an earlier round: how they are taken, counted, challenged and paid.
contract LateClaimsTest is Fixture {
    uint32 internal constant STEPS = 100;

    /// @dev alice's claim from round 1, posted in round 2, which opens `wait` seconds after round 1.
    function _lateBy(uint256 wait) private returns (Claim memory c) {
        registry.openRound();
        _skip(wait);
        registry.openRound();
        c = _late(alice, STEPS, 1);
        _post(c);
    }

    function _baseOf(address node) private view returns (uint64 base) {
        (,, base) = registry.recordOf(node);
    }

    function test_a_late_claim_is_posted_counted_and_final_in_its_own_round() public {
        Claim memory onTime = _posted(bob, STEPS);
        _endRound(onTime, keccak256("two"));
        registry.openRound();
        Claim memory c = _late(alice, STEPS, 1);
        vm.assertTrue(c.startRoot == keccak256("genesis") && c.startRoot != registry.globalRoot());
        bytes32 hash = registry.hashClaim(c);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimPosted(2, alice, hash, c);
        _post(c);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
        vm.assertEq(registry.roundOf(2).unresolved, 1);
        vm.assertEq(registry.roundOf(1).unresolved, 0);
        vm.assertEq(_baseOf(alice), 0, "written when it ends");
        bytes32 root = keccak256("three");
        _endRound(c, root);
        IWorkRegistry.Round memory r = registry.roundOf(2);
        vm.assertEq(r.finals, 1);
        vm.assertEq(r.finalSet, keccak256(abi.encodePacked(bytes32(0), hash)));
        vm.assertTrue(registry.globalRoot() == root, "its update is summed up like any");
        (uint32 finals,, uint64 base) = registry.recordOf(alice);
        vm.assertEq(finals, 1, "it earns reputation");
        vm.assertEq(base, 1);
    }

    /// @dev What alice earns by a claim `age` seconds old.
    function _paid(uint256 age) private returns (uint256) {
        Claim memory c = _lateBy(age);
        uint256 late = Rewards.claimReward(STEPS, 6, STAKE, 0, 0, age);
        _afterWindow();
        bytes32 set = keccak256(abi.encodePacked(bytes32(0), registry.hashClaim(c)));
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimFinal(2, alice, registry.hashClaim(c), set, late);
        registry.finalise(c);
        vm.assertEq(emission.accruedOf(alice), late);
        return late;
    }

    // 100 * 6 * 0.0003 * 1.6 * 1.1, times freshness; the round lasts 4200 seconds at least.
    function test_pay_after_more_than_an_hour() public {
        vm.assertEq(_paid(TRAIN_TIME + WINDOW + 1), 0.3168e18 * 7 / 10);
    }

    function test_pay_at_the_edge_of_a_day() public {
        vm.assertEq(_paid(1 days - 1), 0.3168e18 * 7 / 10);
    }

    function test_pay_after_a_day() public {
        vm.assertEq(_paid(1 days), 0.3168e18 / 2);
    }

    function test_pay_at_the_edge_of_a_week() public {
        vm.assertEq(_paid(1 weeks - 1), 0.3168e18 / 2);
    }

    function test_pay_after_a_week() public {
        vm.assertEq(_paid(1 weeks), 0.3168e18 * 3 / 10);
    }

    function testFuzz_pay_by_age(uint32 wait) public {
        _paid(uint256(wait) % 60 days + TRAIN_TIME + WINDOW + 1);
    }

    function test_pay_on_time_is_what_it_was() public {
        Claim memory c = _posted(alice, STEPS);
        uint256 quoted = registry.quoteReward(alice, STEPS);
        vm.assertEq(quoted, 0.528e18);
        _afterWindow();
        registry.finalise(c);
        vm.assertEq(emission.accruedOf(alice), quoted);
    }

    function test_a_late_claim_and_one_on_time_share_a_round() public {
        Claim memory late = _lateBy(TRAIN_TIME + WINDOW + 1);
        Claim memory onTime = _train(bob, STEPS);
        _post(onTime);
        _afterWindow();
        registry.finalise(late);
        registry.finalise(onTime);
        vm.assertEq(registry.roundOf(2).finals, 2);
        vm.assertEq(emission.accruedOf(bob), 0.528e18);
    }

    function test_work_skipped_in_between_can_still_be_claimed() public {
        registry.openRound();
        for (uint64 round = 2; round <= 6; round += 2) {
            _afterWindow();
            registry.openRound();
            Claim memory c = _late(alice, STEPS, round - 1);
            _post(c);
            _afterWindow();
            registry.finalise(c);
            vm.assertEq(_baseOf(alice), round - 1);
            // Nobody sums it up, and the round closes.
            _skip(TRAIN_TIME + 1);
            registry.openRound();
        }
    }

    function test_a_claim_on_time_follows_a_late_one() public {
        Claim memory c = _lateBy(TRAIN_TIME + WINDOW + 1);
        _endRound(c, keccak256("three"));
        Claim memory next = _posted(alice, STEPS);
        _afterWindow();
        registry.finalise(next);
        vm.assertEq(_baseOf(alice), 3);
    }

    function test_a_late_claim_is_challenged_in_its_own_round() public {
        Claim memory c = _lateBy(1 days);
        _skip(TRAIN_TIME + WINDOW);
        _challenge(bob, c, 5);
        _answer(c, bob);
        _assertState(c, ClaimState.Posted, 0);
        _challenge(carol, c, 0);
        _skip(RESPONSE + 1);
        registry.timeout(c, carol);
        _assertState(c, ClaimState.Lost, 0);
        (uint32 finals, uint64 lostRound, uint64 base) = registry.recordOf(alice);
        vm.assertEq(finals, 0);
        vm.assertEq(lostRound, 2);
        vm.assertEq(base, 1, "work that was lost is not claimed again");
    }

    function test_a_lost_outer_step_never_makes_older_work_claimable() public {
        Claim memory c = _lateBy(TRAIN_TIME + WINDOW + 1);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(alice, keccak256("bad"));
        _post(outer);
        _loseBySilence(outer, carol);
        vm.assertEq(_baseOf(alice), 2);
    }
}
