// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { Programs } from "../../src/libraries/Programs.sol";
import { MerkleTree } from "../utils/MerkleTree.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice Lost claims of a session: who answers, and how it is shown.
contract QuorumFaultsTest is QuorumFixture {
    // --- postFor ---

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
}
