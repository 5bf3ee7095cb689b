// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { vm } from "../../script/Vm.sol";
import { Quorums } from "../../src/Quorums.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice Sessions: register, dissolve, leave.
contract QuorumsTest is QuorumFixture {
    function _registerWith(IQuorums.Member[] memory m, uint64 until, bytes[] memory s, bytes memory error) private {
        vm.expectRevert(error);
        quorums.register(alice, m, until, s);
    }

    /// @dev Fails on the members themselves, before any signature is looked at.
    function _refused(IQuorums.Member[] memory m, bytes memory error) private {
        _registerWith(m, _until(), new bytes[](m.length), error);
    }

    function _error(bytes4 selector, uint256 argument) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, argument);
    }

    // --- register ---

    function test_register_locks_every_members_bond() public {
        uint64 session = _register();
        vm.assertEq(session, 1);
        vm.assertEq(quorums.sessions(), 1);
        vm.assertEq(quorums.nonceOf(alice), 1);
        IQuorums.Session memory s = quorums.sessionOf(session);
        vm.assertEq(s.leader, alice);
        vm.assertEq(uint256(s.until), _until());
        vm.assertFalse(s.ended || s.busy);
        vm.assertEq(uint256(s.freed), 0);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
    }

    function test_register_announces_the_members() public {
        IQuorums.Member[] memory m = _members();
        bytes[] memory signatures = _consents(m, _until());
        bytes32 hash =
            keccak256(abi.encodePacked(_memberHash(alice, 0, 2), _memberHash(bob, 2, 3), _memberHash(carol, 5, 1)));
        vm.expectEmit(address(quorums));
        emit IQuorums.Registered(1, alice, _until(), hash, m);
        vm.prank(dave);
        quorums.register(alice, m, _until(), signatures);
        vm.assertEq(quorums.membersHashOf(1), hash);
    }

    function _memberHash(address account, uint16 first, uint16 count) private pure returns (bytes32) {
        bytes32 typeHash = keccak256("Member(address account,uint16 firstLayer,uint16 layerCount)");
        return keccak256(abi.encode(typeHash, account, first, count));
    }

    function test_register_again_needs_new_consents() public {
        IQuorums.Member[] memory m = _members();
        bytes[] memory old = _consents(m, _until());
        quorums.register(alice, m, _until(), old);
        address signer = ECDSA.recover(quorums.hashConsent(alice, m, 1, _until()), old[0]);
        _registerWith(m, _until(), old, abi.encodeWithSelector(IQuorums.NoConsent.selector, 0, signer));
        vm.assertEq(_register(), 2);
        _assertLocks(4 * BOND, 4 * BOND, 4 * BOND);
    }

    function test_register_of_one_member_and_of_sixteen_layers() public {
        IQuorums.Member[] memory m = new IQuorums.Member[](1);
        m[0] = IQuorums.Member(alice, 0, 6);
        bytes[] memory s = new bytes[](1);
        s[0] = _sign(ALICE, quorums.hashConsent(alice, m, 0, _until()));
        quorums.register(alice, m, _until(), s);
        _assertLocks(2 * BOND, 0, 0);
    }

    function test_revert_register_without_members_or_with_too_many() public {
        _refused(new IQuorums.Member[](0), _error(IQuorums.WrongSize.selector, 0));
        _refused(new IQuorums.Member[](17), _error(IQuorums.WrongSize.selector, 17));
    }

    function test_revert_register_gap_overlap_empty_and_endless_ranges() public {
        IQuorums.Member[] memory m = _members();
        m[0].firstLayer = 1;
        _refused(m, _error(IQuorums.WrongRange.selector, 0));
        m = _members();
        m[1].firstLayer = 3;
        _refused(m, _error(IQuorums.WrongRange.selector, 1));
        m = _members();
        m[1].firstLayer = 1;
        _refused(m, _error(IQuorums.WrongRange.selector, 1));
        m = _members();
        m[2].layerCount = 0;
        _refused(m, _error(IQuorums.WrongRange.selector, 2));
        m = _members();
        m[2].layerCount = type(uint16).max;
        uint256 held = uint256(m[2].firstLayer) + type(uint16).max;
        _refused(m, abi.encodeWithSelector(IQuorums.OtherLayers.selector, held, type(uint16).max));
    }

    function test_revert_register_duplicate_or_leaderless() public {
        IQuorums.Member[] memory m = _members();
        m[2].account = bob;
        _refused(m, abi.encodeWithSelector(IQuorums.DuplicateMember.selector, bob));
        m = _members();
        m[0].account = dave;
        _refused(m, abi.encodeWithSelector(IQuorums.LeaderNotMember.selector, alice));
    }

    function test_revert_register_ends_in_the_past_or_too_late() public {
        IQuorums.Member[] memory m = _members();
        uint64 now_ = uint64(time);
        _registerWith(m, now_, new bytes[](3), _error(IQuorums.WrongEnd.selector, now_));
        uint64 late = now_ + 14_401;
        _registerWith(m, late, new bytes[](3), _error(IQuorums.WrongEnd.selector, late));
        quorums.register(alice, m, late - 1, _consents(m, late - 1));
    }

    function test_revert_register_with_missing_or_wrong_consents() public {
        IQuorums.Member[] memory m = _members();
        bytes[] memory two = new bytes[](2);
        _registerWith(m, _until(), two, abi.encodeWithSelector(IQuorums.WrongConsents.selector, 2, 3));
        bytes[] memory s = _consents(m, _until());
        (s[1], s[2]) = (s[2], s[1]);
        _registerWith(m, _until(), s, abi.encodeWithSelector(IQuorums.NoConsent.selector, 1, carol));
        s[1] = "";
        bytes4 length = ECDSA.ECDSAInvalidSignatureLength.selector;
        _registerWith(m, _until(), s, abi.encodeWithSelector(length, 0));
    }

    function test_revert_register_where_a_member_has_no_stake_to_lock() public {
        vm.prank(carol);
        staking.thaw(STAKE - MINIMUM);
        _register();
        IQuorums.Member[] memory m = _members();
        bytes memory error = abi.encodeWithSelector(IStaking.InsufficientStake.selector, 0, 2 * BOND);
        _registerWith(m, _until(), _consents(m, _until()), error);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
    }

    function test_revert_quorums_of_another_registry() public {
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotQuorums.selector, address(quorums)));
        new Quorums(registry);
    }

    // --- dissolve ---

    function test_dissolve_lets_everyone_leave() public {
        uint64 session = _register();
        vm.expectEmit(address(quorums));
        emit IQuorums.Ended(session);
        vm.prank(alice);
        quorums.dissolve(session);
        _leave(session, carol, 2);
        _leave(session, alice, 0);
        _leave(session, bob, 1);
        _assertLocks(0, 0, 0);
    }

    function test_revert_dissolve_by_another_or_twice() public {
        uint64 session = _register();
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotLeader.selector, bob));
        vm.prank(bob);
        quorums.dissolve(session);
        vm.startPrank(alice);
        quorums.dissolve(session);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.SessionOver.selector, session));
        quorums.dissolve(session);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotLeader.selector, alice));
        quorums.dissolve(session + 1);
        vm.stopPrank();
    }

    // --- leave ---

    function test_leave_after_the_session() public {
        uint64 session = _register();
        _skip(HOUR + 1);
        vm.expectEmit(address(quorums));
        emit IQuorums.MemberLeft(session, bob);
        _leave(session, bob, 1);
        _assertLocks(2 * BOND, 0, 2 * BOND);
        vm.assertEq(uint256(quorums.sessionOf(session).freed), 2);
    }

    function test_revert_leave_while_the_session_runs() public {
        uint64 session = _register();
        uint64 until = _until();
        _skip(HOUR);
        IQuorums.Member[] memory m = _members();
        vm.expectRevert(_error(IQuorums.SessionRuns.selector, until));
        vm.prank(bob);
        quorums.leave(session, m, 1);
    }

    function test_revert_leave_twice_for_another_or_with_other_members() public {
        uint64 session = _register();
        _skip(HOUR + 1);
        _leave(session, bob, 1);
        IQuorums.Member[] memory m = _members();
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.BondGone.selector, bob));
        quorums.leave(session, m, 1);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotMember.selector, bob));
        quorums.leave(session, m, 2);
        vm.expectRevert(abi.encodeWithSelector(IQuorums.NotMember.selector, bob));
        quorums.leave(session, m, 3);
        vm.expectRevert(_error(IQuorums.WrongMembers.selector, session + 1));
        quorums.leave(session + 1, m, 1);
        m[2].account = dave;
        vm.expectRevert(_error(IQuorums.WrongMembers.selector, session));
        quorums.leave(session, m, 1);
        vm.stopPrank();
    }
}
