// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Programs } from "../../src/libraries/Programs.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { MerkleTree } from "../utils/MerkleTree.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice A session's claims: postFor, finalise and pay, blame.
contract QuorumClaimsTest is QuorumFixture {
    function _share(uint256 layers, uint256 role) private pure returns (uint256) {
        return Rewards.memberShare(STEPS, layers, role, STAKE);
    }

    function _wrongState(IQuorums.State state) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IQuorums.WrongClaimState.selector, state);
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
        quorums.bind(1, keccak256("claim"), alice);
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
        vm.assertEq(share, Rewards.claimReward(100, 6, STAKE, 0, 0));
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
        vm.assertEq(emission.accruedOf(alice), Rewards.claimReward(STEPS, 6, STAKE, 0, 0));
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.None));
    }

    // --- a lost claim ---

    function test_silence_costs_the_leader() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        bytes32 hash = registry.hashClaim(c);
        _challenge(dave, c, 0);
        _skip(RESPONSE + 1);
        vm.expectEmit(address(quorums));
        emit IQuorums.Blamed(session, hash, alice);
        registry.timeout(c, dave);
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        vm.assertEq(staking.creditOf(dave), BOND);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
        vm.assertTrue(quorums.sessionOf(session).ended && !quorums.sessionOf(session).busy, "over");
        _leave(session, alice, 0);
        _leave(session, bob, 1);
        _leave(session, carol, 2);
        _assertLocks(0, 0, 0);
    }

    function test_a_ruling_about_no_op_costs_the_leader() public {
        bytes32 hash = _ruled(_postFor(_register()), ClaimLib.NO_OP);
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.Lost));
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
    }

    function test_an_ops_owner_answers_and_not_the_leader() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        bytes32 hash = _ruled(c, 45);
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.Faulty));
        vm.assertEq(uint256(quorums.faultOf(hash).op), 45);
        vm.assertEq(quorums.faultOf(hash).challenger, dave);
        _assertLocks(4 * BOND, 2 * BOND, 2 * BOND);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(quorums));
        emit IQuorums.Blamed(session, hash, bob);
        _blame(c, 4);
        vm.assertEq(uint256(_account(alice).active), STAKE);
        vm.assertEq(uint256(_account(bob).active), STAKE - 2 * BOND);
        vm.assertEq(staking.creditOf(dave), BOND);
        vm.assertEq(token.totalSupply(), supply - BOND, "the other half is burned");
        _assertLocks(2 * BOND, 0, 2 * BOND);
        _leave(session, alice, 0);
        _leave(session, carol, 2);
        _assertLocks(0, 0, 0);
        IQuorums.Member[] memory m = _members();
        vm.expectRevert(abi.encodeWithSelector(IQuorums.BondGone.selector, bob));
        vm.prank(bob);
        quorums.leave(session, m, 1);
    }

    function test_every_op_finds_its_owner() public {
        address[8] memory owners = [alice, alice, bob, bob, bob, carol, alice, bob];
        for (uint256 row = 0; row < 8; ++row) {
            uint256 fork = vm.snapshotState();
            Claim memory c = _postFor(_register());
            _ruled(c, _segments()[row].last);
            _blame(c, row);
            vm.assertEq(uint256(_account(owners[row]).active), STAKE - 2 * BOND, "who answers");
            vm.assertEq(uint256(staking.totalActive()), 4 * STAKE - 2 * BOND);
            // The leader's bond of the claim is free, or slashed where the op is nobody's.
            _assertLocks(row < 2 ? 0 : 2 * BOND, owners[row] == bob ? 0 : 2 * BOND, owners[row] == carol ? 0 : 2 * BOND);
            vm.assertTrue(vm.revertToState(fork));
        }
    }

    function test_the_leader_answers_where_nobody_is_named_in_time() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        bytes32 hash = _ruled(c, 45);
        uint64 deadline = quorums.faultOf(hash).deadline;
        vm.assertEq(uint256(deadline), time + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.TooEarly.selector, deadline));
        quorums.blameLeader(hash);
        _skip(WINDOW + 1);
        _expectBlame(c, 4, abi.encodeWithSelector(IQuorums.TooLate.selector, deadline));
        quorums.blameLeader(hash);
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
        vm.expectRevert(_wrongState(IQuorums.State.Lost));
        quorums.blameLeader(hash);
    }

    function _expectBlame(Claim memory c, uint256 row, bytes memory error) private {
        bytes32[] memory proof = MerkleTree.path(_tableLeaves(), row);
        Programs.Suite memory suite = _suite();
        bytes memory signature = _signedWork(c, _members(), 4);
        vm.expectRevert(error);
        quorums.blame(c, _members(), suite, _segments()[row], row, proof, signature);
    }

    function test_revert_blame_with_another_segment_suite_claim_or_members() public {
        Claim memory c = _postFor(_register());
        _ruled(c, 45);
        bytes memory wrong = abi.encodeWithSelector(IQuorums.WrongSegment.selector, 45);
        _expectBlame(c, 3, wrong);
        _expectBlame(c, 5, wrong);
        bytes32[] memory proof = MerkleTree.path(_tableLeaves(), 4);
        IQuorums.Segment memory segment = _segments()[4];
        Programs.Suite memory suite = _suite();
        IQuorums.Member[] memory m = _members();
        segment.layer = 5;
        vm.expectRevert(wrong);
        quorums.blame(c, m, suite, segment, 4, proof, "");
        segment.layer = 4;
        suite.layersRoot = keccak256("mine");
        vm.expectRevert(IQuorums.WrongSuite.selector);
        quorums.blame(c, m, suite, segment, 4, proof, "");
        suite = _suite();
        m[1].account = dave;
        vm.expectRevert(abi.encodeWithSelector(IQuorums.WrongMembers.selector, 1));
        quorums.blame(c, m, suite, segment, 4, proof, "");
        c.round += 1;
        m = _members();
        vm.expectRevert(_wrongState(IQuorums.State.None));
        quorums.blame(c, m, suite, segment, 4, proof, "");
    }

    function test_revert_blame_for_a_trace_that_the_owner_did_not_sign() public {
        Claim memory c = _postFor(_register());
        bytes32 hash = _ruled(c, 45);
        bytes32[] memory proof = MerkleTree.path(_tableLeaves(), 4);
        IQuorums.Segment memory segment = _segments()[4];
        Programs.Suite memory suite = _suite();
        IQuorums.Member[] memory m = _members();
        vm.assertEq(quorums.faultOf(hash).work, quorums.hashWork(hash, 1, TRACE));
        bytes memory others = _sign(CAROL, quorums.hashWork(hash, 1, TRACE));
        vm.expectRevert(abi.encodeWithSelector(IQuorums.TraceNotSigned.selector, bob, carol));
        quorums.blame(c, m, suite, segment, 4, proof, others);
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 other = quorums.hashWork(i == 0 ? bytes32(0) : hash, i == 1 ? 2 : 1, i == 2 ? bytes32(0) : TRACE);
            bytes memory signature = _sign(BOB, other);
            (bool ok,) =
                address(quorums).call(abi.encodeCall(quorums.blame, (c, m, suite, segment, 4, proof, signature)));
            vm.assertTrue(!ok, "another claim, step or trace");
        }
        _assertLocks(4 * BOND, 2 * BOND, 2 * BOND);
    }

    function test_revert_blame_twice() public {
        Claim memory c = _postFor(_register());
        _ruled(c, 45);
        _blame(c, 4);
        _expectBlame(c, 4, _wrongState(IQuorums.State.Lost));
    }

    function test_a_solo_claim_is_lost_as_before_whatever_the_op() public {
        Claim memory c = _posted(alice, STEPS);
        _ruled(c, 45);
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        vm.assertEq(staking.creditOf(dave), BOND);
        _assertLocks(0, 0, 0);
    }

    function test_revert_accrue_and_lock_by_a_stranger() public {
        vm.expectRevert(abi.encodeWithSelector(IEmission.OnlyKeeper.selector, dave));
        vm.prank(dave);
        emission.accrue(dave, 1);
    }
}
