// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice A session's claims: postFor, finalise and pay, blame.
contract QuorumClaimsTest is QuorumFixture {
    function _share(uint256 layers, uint256 role) private pure returns (uint256) {
        return Rewards.memberShare(STEPS, layers, role, STAKE);
    }

    // --- postFor ---

    function test_a_claim_of_a_session_is_bound_to_it() public {
        uint64 session = _register();
        registry.openRound();
        Claim memory c = _train(alice, STEPS);
        bytes32 hash = registry.hashClaim(c);
        vm.expectEmit(address(quorums));
        emit IQuorums.ClaimBound(session, hash);
        vm.prank(alice);
        vm.assertEq(registry.postFor(c, session), hash);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(quorums.claimOf(hash).session, session);
        vm.assertTrue(quorums.sessionOf(session).busy, "busy");
        _assertLocks(4 * BOND, 2 * BOND, 2 * BOND);
    }

    function test_challenges_of_a_session_claim_are_counted_like_any() public {
        Claim memory c = _postFor(_register());
        _challenge(dave, c, 1);
        _assertState(c, ClaimState.Posted, 1);
        _answer(c, dave);
        scripted.decide(IWorkRegistry(address(registry)), c, dave, true);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(uint256(_state(_finalise(c))), uint256(IQuorums.State.Due));
    }

    function test_revert_post_for_a_session_of_another_or_none() public {
        uint64 session = _register();
        registry.openRound();
        Claim memory c = _train(bob, STEPS);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotLeader.selector, bob));
        registry.postFor(c, session);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotLeader.selector, bob));
        registry.postFor(c, session + 1);
        vm.stopPrank();
    }

    function test_revert_post_for_a_session_of_other_layers_than_the_round() public {
        IQuorums.Member[] memory m = _members();
        m[2].layerCount = 4;
        uint64 session = quorums.register(alice, m, _until(), _consents(m, _until()));
        vm.assertEq(quorums.sessionOf(session).layers, 9);
        registry.openRound();
        Claim memory c = _train(alice, STEPS);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.OtherLayers.selector, 9, 6));
        vm.prank(alice);
        registry.postFor(c, session);
    }

    function test_revert_post_for_a_session_that_is_over() public {
        uint64 session = _register();
        _skip(HOUR + 1);
        registry.openRound();
        Claim memory c = _train(alice, STEPS);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.SessionOver.selector, session));
        registry.postFor(c, session);
        vm.stopPrank();
        uint64 second = _register();
        vm.startPrank(alice);
        quorums.dissolve(second);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.SessionOver.selector, second));
        registry.postFor(c, second);
        vm.stopPrank();
    }

    function test_revert_post_for_of_an_outer_claim() public {
        _finalise(_postFor(_register()));
        Claim memory c = _outer(alice, keccak256("next"));
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.UnknownKind.selector, ClaimLib.OUTER));
        vm.prank(alice);
        registry.postFor(c, 1);
    }

    function test_revert_registrys_calls_by_anyone_else() public {
        bytes memory denied = abi.encodeWithSelector(IQuorums.OnlyRegistry.selector, address(this));
        vm.expectRevert(denied);
        quorums.bind(1, keccak256("claim"), alice, 6);
        vm.expectRevert(denied);
        quorums.settle(keccak256("claim"), 1);
        vm.expectRevert(denied);
        quorums.lose(keccak256("claim"), alice, 0, 0, 0);
    }

    // --- finalise and pay ---

    function test_pay_shares_by_layers_roles_and_stake() public {
        bytes32 hash = _finalise(_postFor(_register()));
        vm.assertEq(emission.accruedOf(alice), 0);
        vm.assertEq(uint256(quorums.claimOf(hash).steps), STEPS);
        IQuorums.Member[] memory m = _members();
        vm.expectEmit(address(quorums));
        emit IQuorums.MemberPaid(1, hash, alice, _share(2, 13_000));
        quorums.pay(hash, m);
        vm.assertEq(emission.accruedOf(alice), _share(2, 13_000));
        vm.assertEq(emission.accruedOf(bob), _share(3, 11_000));
        vm.assertEq(emission.accruedOf(carol), _share(1, 14_000));
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.Paid));
        // 0.0005 a batch and layer; a stake of 1000 NEURO makes 1.1 of it.
        vm.assertEq(_share(3, 11_000), 0.0005e18 * 4 * 3 * 11 / 10 * 11 / 10);
    }

    function test_pay_of_one_member_is_the_reward_of_a_node_alone() public pure {
        uint256 share = Rewards.memberShare(100, 6, Rewards.roleBps(true, true), STAKE);
        vm.assertEq(share, Rewards.claimReward(100, 6, STAKE, 0, 0, 0));
    }

    function test_pay_after_the_members_have_left() public {
        uint64 session = _register();
        bytes32 hash = _finalise(_postFor(session));
        _leave(session, alice, 0);
        _leave(session, bob, 1);
        _leave(session, carol, 2);
        // The leader's claim bond stays, as after any final claim.
        _assertLocks(2 * BOND, 0, 0);
        quorums.pay(hash, _members());
        vm.assertEq(emission.accruedOf(bob), _share(3, 11_000));
        vm.prank(alice);
        registry.releaseBond();
        _assertLocks(0, 0, 0);
    }

    function test_revert_pay_twice_too_early_or_to_others() public {
        Claim memory c = _postFor(_register());
        IQuorums.Member[] memory m = _members();
        bytes32 hash = registry.hashClaim(c);
        vm.expectRevert(_wrongState(IQuorums.State.Open));
        quorums.pay(hash, m);
        vm.expectRevert(_wrongState(IQuorums.State.None));
        quorums.pay(keccak256("none"), m);
        _finalise(c);
        m[1].account = dave;
        vm.expectRevert(abi.encodeWithSelector(IQuorums.WrongMembers.selector, 1));
        quorums.pay(hash, m);
        quorums.pay(hash, _members());
        m = _members();
        vm.expectRevert(_wrongState(IQuorums.State.Paid));
        quorums.pay(hash, m);
    }

    function test_a_session_takes_the_next_claim_after_a_final_one() public {
        uint64 session = _register();
        bytes32 first = _finalise(_postFor(session));
        vm.assertFalse(quorums.sessionOf(session).busy);
        Claim memory outer = _outer(bob, keccak256("next"));
        _post(outer);
        _skip(WINDOW + 1);
        registry.finalise(outer);
        uint64 second = _register();
        bytes32 hash = _finalise(_postFor(second));
        vm.assertTrue(first != hash);
        vm.assertEq(quorums.claimOf(hash).session, second);
    }

    function test_a_claim_of_the_leader_alone_pays_the_leader() public {
        _register();
        Claim memory c = _posted(alice, STEPS);
        bytes32 hash = _finalise(c);
        vm.assertEq(emission.accruedOf(alice), Rewards.claimReward(STEPS, 6, STAKE, 0, 0, 0));
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.None));
    }

    // --- a lost claim ---

    function test_revert_accrue_and_lock_by_a_stranger() public {
        vm.expectRevert(abi.encodeWithSelector(IEmission.OnlyKeeper.selector, dave));
        vm.prank(dave);
        emission.accrue(dave, 1);
    }
}
