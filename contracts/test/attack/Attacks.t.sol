// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { INeuroToken } from "../../src/interfaces/INeuroToken.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @notice One attack a test; every one must cost its author or do nothing.
contract AttacksTest is Fixture {
    uint32 internal constant STEPS = 5;

    address internal immutable mallory = vm.addr(0x3A11021);
    address internal immutable sybil = vm.addr(0x5B11);

    function setUp() public override {
        super.setUp();
        _fund(mallory);
        _fund(sybil);
    }

    /// @dev All that the two accounts of the attacker own.
    function _wealth() internal view returns (uint256) {
        return _owned(mallory) + _owned(sybil);
    }

    function _owned(address a) internal view returns (uint256) {
        IStaking.Account memory account = _account(a);
        return token.balanceOf(a) + account.active + account.thawing + staking.creditOf(a) + emission.accruedOf(a);
    }

    function test_attack_self_slash_for_bounty_loses_the_bond() public {
        uint256 before = _wealth();
        Claim memory c = _posted(mallory, STEPS);
        _loseBySilence(c, sybil);
        vm.assertEq(before - _wealth(), BOND);
    }

    function test_attack_self_challenge_to_shield_a_bad_claim_still_burns() public {
        // The accomplice is first in line; the honest challenger gets its bond back and the cheat still loses B.
        uint256 before = _wealth();
        Claim memory c = _posted(mallory, STEPS);
        _challenge(sybil, c, 0);
        _challenge(bob, c, 1);
        _skip(RESPONSE + 1);
        registry.timeout(c, sybil);
        registry.reclaim(c, bob);
        vm.assertEq(before - _wealth(), BOND);
        vm.assertEq(_account(bob).active, STAKE);
        vm.assertEq(_lockedOf(bob), 0);
    }

    function test_attack_self_challenge_answered_burns_half_the_bond_each_time() public {
        uint256 before = _wealth();
        Claim memory c = _posted(mallory, STEPS);
        for (uint32 i = 0; i < STEPS; ++i) {
            _challenge(sybil, c, i);
            _answer(c, sybil);
        }
        vm.assertEq(before - _wealth(), STEPS * CHALLENGE_BOND / 2);
    }

    function test_attack_spam_challenges_pay_the_prover() public {
        Claim memory c = _posted(alice, STEPS);
        for (uint32 i = 0; i < STEPS; ++i) {
            _challenge(mallory, c, i);
            _answer(c, mallory);
        }
        vm.assertEq(_account(mallory).active, STAKE - STEPS * CHALLENGE_BOND);
        vm.assertEq(staking.creditOf(alice), STEPS * CHALLENGE_BOND / 2);
        _afterWindow();
        registry.finalise(c);
    }

    function test_attack_early_exit_before_slash() public {
        Claim memory c = _posted(mallory, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, STAKE - 2 * BOND, STAKE));
        vm.prank(mallory);
        staking.thaw(STAKE);
        vm.prank(mallory);
        staking.thaw(STAKE - 2 * BOND);
        vm.expectRevert(IRegistryErrors.NoBond.selector);
        vm.prank(mallory);
        registry.releaseBond();
        _loseBySilence(c, bob);
        vm.assertEq(_account(mallory).active, 0);
        vm.assertEq(staking.creditOf(bob), BOND);
    }

    function test_attack_one_bond_behind_two_claims() public {
        // Bonds of a claim and of a challenge stand on different stake.
        vm.prank(mallory);
        staking.thaw(STAKE - 2 * BOND);
        Claim memory c = _posted(alice, STEPS);
        _post(_train(mallory, STEPS));
        vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, 0, CHALLENGE_BOND));
        _challenge(mallory, c, 0);
    }

    function test_attack_bond_of_a_final_claim_released_under_an_open_one() public {
        Claim memory c = _posted(mallory, STEPS);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(mallory, keccak256("next"));
        _post(outer);
        vm.expectRevert(IRegistryErrors.NoBond.selector);
        vm.prank(mallory);
        registry.releaseBond();
        vm.assertEq(_lockedOf(mallory), 2 * BOND);
    }

    function test_attack_released_bond_is_locked_again_by_the_next_claim() public {
        Claim memory c = _posted(mallory, STEPS);
        _afterWindow();
        registry.finalise(c);
        vm.prank(mallory);
        registry.releaseBond();
        vm.assertEq(_lockedOf(mallory), 0);
        _post(_outer(mallory, keccak256("next")));
        vm.assertEq(_lockedOf(mallory), 2 * BOND);
    }

    function test_attack_copied_claim() public {
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.NotClaimNode.selector, mallory, alice));
        vm.prank(mallory);
        registry.post(c);
    }

    function test_attack_mempool_copied_proof_gives_the_copier_nothing() public {
        Claim memory c = _posted(alice, STEPS);
        _challenge(bob, c, 2);
        IWorkRegistry.Opening memory a = _opening(alice, STEPS, 1);
        IWorkRegistry.Opening memory b = _opening(alice, STEPS, 2);
        uint256 before = _owned(mallory);
        vm.prank(mallory);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.NotClaimNode.selector, mallory, alice));
        registry.answer(c, bob, a, b, TRACE);
        _send(c, bob, a, b);
        vm.assertEq(_owned(mallory), before);
        vm.assertEq(staking.creditOf(alice), CHALLENGE_BOND / 2);
    }

    function test_attack_claim_replay_of_a_lost_claim() public {
        Claim memory c = _posted(mallory, STEPS);
        _challenge(bob, c, 0);
        _challenge(carol, c, 1);
        _skip(RESPONSE + 1);
        registry.timeout(c, bob);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.LostThisRound.selector, 1));
        _post(c);
        // The stale challenge moves nothing but its own bond, in this round or the next.
        vm.expectRevert(_notOpen(c));
        registry.timeout(c, carol);
        _afterWindow();
        registry.openRound();
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Closed));
        _post(c);
        registry.reclaim(c, carol);
    }

    function test_attack_claim_of_an_old_round() public {
        Claim memory old = _posted(mallory, STEPS);
        _loseBySilence(old, bob);
        _afterWindow();
        registry.openRound();
        Claim memory c = _train(sybil, STEPS);
        (c.round, c.base) = (1, 1);
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Closed));
        _post(c);
    }

    function test_attack_signature_replay_across_chains_of_a_claim() public {
        Claim memory c = _posted(alice, STEPS);
        bytes32 here = registry.hashClaim(c);
        vm.chainId(424_242);
        vm.assertFalse(registry.hashClaim(c) == here);
        vm.expectRevert(_notOpen(c));
        registry.finalise(c);
    }

    function test_attack_leaf_count_lie() public {
        // Five leaves claimed as six: the sixth step cannot be opened.
        registry.openRound();
        Claim memory c = _train(mallory, STEPS);
        (c.steps, c.tokens) = (STEPS + 1, uint64(STEPS + 1) * 1024);
        _post(c);
        _challenge(bob, c, STEPS);
        IWorkRegistry.Opening memory a = _opening(mallory, STEPS, STEPS - 2);
        IWorkRegistry.Opening memory b = _opening(mallory, STEPS, STEPS - 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, STEPS));
        _send(c, bob, a, b);
        _skip(RESPONSE + 1);
        registry.timeout(c, bob);
        _assertState(c, ClaimState.Lost, 0);
    }

    function test_attack_merkle_second_preimage_one_leaf_for_two_steps() public {
        // Leaves carry their step, so a repeated leaf opens at one place only.
        registry.openRound();
        Claim memory c = _train(mallory, 2);
        bytes32 leaf = _leaf(mallory, 0);
        c.traceRoot = sha256(abi.encodePacked(hex"01", leaf, leaf));
        c.endRoot = _state(mallory, 0);
        _post(c);
        _challenge(bob, c, 1);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = leaf;
        IWorkRegistry.Opening memory o = IWorkRegistry.Opening(_state(mallory, 0), _batch(mallory, 0), 0, proof);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.BadProof.selector, 1));
        _send(c, bob, o, o);
    }

    function test_attack_donation_inflation_of_stake() public {
        vm.prank(mallory);
        vm.assertTrue(token.transfer(address(staking), NEURO));
        vm.assertEq(staking.totalActive(), 5 * STAKE);
        vm.prank(alice);
        staking.thaw(STAKE);
        _skip(THAW);
        vm.prank(alice);
        vm.assertEq(staking.withdraw(), STAKE);
    }

    function test_attack_stranger_resetting_timers_cannot_touch_the_thaw_clock() public {
        vm.prank(alice);
        staking.thaw(STAKE);
        _skip(THAW);
        vm.startPrank(mallory);
        staking.thaw(STAKE);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillThawing.selector, time + THAW));
        staking.withdraw();
        vm.stopPrank();
        vm.prank(alice);
        staking.withdraw();
    }

    function test_attack_one_bad_payee_blocking_all_challengers() public {
        // Credits are pulled: a challenger that never collects does not stop the slash or the next round.
        Claim memory c = _posted(mallory, STEPS);
        _loseBySilence(c, bob);
        _afterWindow();
        registry.openRound();
        vm.assertEq(staking.creditOf(bob), BOND);
    }

    function test_attack_outer_claim_ahead_of_open_train_claims() public {
        Claim memory a = _posted(alice, STEPS);
        Claim memory b = _train(bob, STEPS);
        _post(b);
        _afterWindow();
        registry.finalise(a);
        Claim memory early = _outer(mallory, keccak256("mine"));
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Settle));
        _post(early);
        registry.finalise(b);
        _post(_outer(mallory, keccak256("mine")));
    }

    function test_attack_reputation_counts_no_outer_claims_and_falls_to_nothing() public {
        Claim memory c = _posted(mallory, STEPS);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(mallory, keccak256("next"));
        _post(outer);
        _loseBySilence(outer, bob);
        (uint32 finals,,) = registry.recordOf(mallory);
        vm.assertEq(finals, 0);
    }

    function test_attack_deployer_is_powerless() public {
        // This contract deployed everything, and can do nothing that a stranger cannot.
        vm.expectRevert(abi.encodeWithSelector(INeuroToken.OnlyMinter.selector, address(this)));
        token.mint(address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.OnlyKeeper.selector, address(this)));
        staking.slash(alice, 1, address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.OnlyKeeper.selector, address(this)));
        staking.lock(alice, 1);
        vm.expectRevert(abi.encodeWithSelector(IEmission.OnlyKeeper.selector, address(this)));
        emission.accrue(address(this), 1);
        Claim memory c = _posted(alice, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.OnlyJudge.selector, address(this)));
        registry.rule(c, bob, true, ClaimLib.NO_OP, 0);
    }
}
