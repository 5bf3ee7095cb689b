// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { vm } from "../../script/Vm.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { Programs } from "../../src/libraries/Programs.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { MerkleTree } from "../utils/MerkleTree.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice Attacks on quorums, one a test.
contract QuorumAttacksTest is QuorumFixture {
    function _refused(IQuorums.Member[] memory m, uint64 until, bytes[] memory s, bytes4 selector) private {
        (bool ok, bytes memory result) = address(quorums).call(abi.encodeCall(quorums.register, (alice, m, until, s)));
        vm.assertFalse(ok);
        vm.assertEq(bytes32(bytes4(result)), bytes32(selector));
        _assertLocks(2 * BOND * quorums.nonceOf(alice), 2 * BOND * quorums.nonceOf(alice), _lockedOf(carol));
    }

    function test_attack_stranger_named_a_member() public {
        // The leader signs in the stranger's place, or uses what the stranger signed for others.
        IQuorums.Member[] memory m = _members();
        uint64 until = _until();
        bytes32 digest = quorums.hashConsent(alice, m, 0, until);
        bytes[] memory s = _signed(_keys(), digest);
        s[2] = _sign(ALICE, digest);
        _refused(m, until, s, IQuorums.NoConsent.selector);
        s[2] = _sign(CAROL, quorums.hashConsent(bob, m, 0, until));
        _refused(m, until, s, IQuorums.NoConsent.selector);
        vm.assertEq(_lockedOf(carol), 0);
    }

    function test_attack_relayer_altering_ranges_or_end() public {
        IQuorums.Member[] memory m = _members();
        uint64 until = _until();
        bytes[] memory s = _consents(m, until);
        (m[0].layerCount, m[1].firstLayer, m[1].layerCount) = (1, 1, 4);
        _refused(m, until, s, IQuorums.NoConsent.selector);
        _refused(_members(), until + 1, s, IQuorums.NoConsent.selector);
        m = _members();
        (m[1], m[2]) = (IQuorums.Member(carol, 2, 3), IQuorums.Member(bob, 5, 1));
        _refused(m, until, s, IQuorums.NoConsent.selector);
    }

    function test_attack_consent_replay_in_another_session() public {
        IQuorums.Member[] memory m = _members();
        uint64 until = _until();
        bytes[] memory s = _consents(m, until);
        quorums.register(alice, m, until, s);
        _refused(m, until, s, IQuorums.NoConsent.selector);
    }

    function test_attack_consent_replay_on_another_chain_or_contract() public {
        IQuorums.Member[] memory m = _members();
        uint64 until = _until();
        bytes32 here = quorums.hashConsent(alice, m, 0, until);
        bytes[] memory s = _signed(_keys(), here);
        vm.chainId(1);
        vm.assertTrue(quorums.hashConsent(alice, m, 0, until) != here, "another chain, another digest");
        _refused(m, until, s, IQuorums.NoConsent.selector);
        vm.chainId(31_337);
        // Another network of the same chain.
        _install(_config());
        vm.assertTrue(quorums.hashConsent(alice, m, 0, until) != here, "another contract, another digest");
        _refused(m, until, s, IQuorums.NoConsent.selector);
    }

    function test_attack_consent_malleated() public {
        IQuorums.Member[] memory m = _members();
        uint64 until = _until();
        bytes[] memory s = _consents(m, until);
        (bytes32 r, bytes32 low, uint8 v) = _split(s[1]);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        s[1] = abi.encodePacked(r, bytes32(order - uint256(low)), v == 27 ? uint8(28) : uint8(27));
        _refused(m, until, s, ECDSA.ECDSAInvalidSignatureS.selector);
    }

    function _split(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    function test_attack_member_leaving_before_slash() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        IQuorums.Member[] memory m = _members();
        bytes memory busy = abi.encodeWithSelector(IQuorums.SessionBusy.selector, session);
        _skip(HOUR + 1);
        // The session is over and the claim open; then it is disputed; then its fault is found.
        vm.expectRevert(busy);
        vm.prank(bob);
        quorums.leave(session, m, 1);
        _ruled(c, 45);
        vm.expectRevert(busy);
        vm.prank(bob);
        quorums.leave(session, m, 1);
        bytes memory locked =
            abi.encodeWithSelector(IStaking.InsufficientStake.selector, STAKE - 2 * BOND, STAKE - 2 * BOND + 1);
        vm.expectRevert(locked);
        vm.prank(bob);
        staking.thaw(STAKE - 2 * BOND + 1);
        vm.prank(bob);
        staking.thaw(STAKE - 2 * BOND);
        _blame(c, 4);
        vm.assertEq(staking.creditOf(dave), BOND, "in full");
        vm.assertEq(uint256(_account(bob).active), 0);
    }

    function test_attack_leader_dissolving_with_an_open_claim() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        vm.prank(alice);
        quorums.dissolve(session);
        IQuorums.Member[] memory m = _members();
        vm.expectRevert(abi.encodeWithSelector(IQuorums.SessionBusy.selector, session));
        vm.prank(alice);
        quorums.leave(session, m, 0);
        bytes32 hash = _ruled(c, 5);
        _blame(c, 0);
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        vm.assertEq(uint256(_state(hash)), uint256(IQuorums.State.Lost));
    }

    function test_attack_leader_stranding_the_members() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        // The leader is never heard of again: bob gets out alone, and is paid.
        _afterWindow();
        IQuorums.Member[] memory m = _members();
        vm.startPrank(bob);
        registry.finalise(c);
        quorums.leave(session, m, 1);
        quorums.pay(registry.hashClaim(c), m);
        vm.assertTrue(emission.collect() != 0);
        vm.stopPrank();
        vm.assertEq(_lockedOf(bob), 0);
    }

    function test_attack_leader_stranding_the_members_by_a_lost_claim() public {
        uint64 session = _register();
        Claim memory c = _postFor(session);
        bytes32 hash = _ruled(c, 45);
        // Nobody shows whose the op is; carol ends it alone.
        _skip(WINDOW + 1);
        IQuorums.Member[] memory m = _members();
        vm.startPrank(carol);
        quorums.blameLeader(hash);
        quorums.leave(session, m, 2);
        vm.stopPrank();
        vm.assertEq(_lockedOf(carol), 0);
    }

    function test_attack_leader_posting_for_itself_what_members_trained() public {
        // Bound or not is the leader's to say: who trains with a leader that takes all is out of a session's reward, and
        // leaves; but the leader alone answers then. What it can't do is make members answer for a claim of its own.
        uint64 session = _register();
        Claim memory c = _posted(alice, STEPS);
        _ruled(c, 45);
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
        _assertLocks(2 * BOND, 2 * BOND, 2 * BOND);
        vm.assertFalse(quorums.sessionOf(session).busy);
    }

    function test_attack_blame_moved_to_another_member() public {
        Claim memory c = _postFor(_register());
        _ruled(c, 45);
        for (uint256 row = 0; row < 8; ++row) {
            if (row == 4) continue;
            (bool ok,) = address(this).call(abi.encodeCall(this.blame, (c, row)));
            vm.assertTrue(!ok, "only the segment that the op is in");
        }
        _assertLocks(4 * BOND, 2 * BOND, 2 * BOND);
        _blame(c, 4);
        vm.assertEq(uint256(_account(bob).active), STAKE - 2 * BOND);
    }

    function blame(Claim calldata c, uint256 row) external {
        _blame(c, row);
    }

    function test_attack_leader_framing_a_member() public {
        // The leader answers for the claim with a trace that lies at bob's op; its accomplice proves the lie.
        Claim memory c = _postFor(_register());
        bytes32 hash = _ruled(c, 45);
        bytes32[] memory proof = MerkleTree.path(_tableLeaves(), 4);
        Programs.Suite memory suite = _suite();
        bytes memory own = _sign(ALICE, quorums.hashWork(hash, 1, TRACE));
        vm.expectRevert(abi.encodeWithSelector(IQuorums.TraceNotSigned.selector, bob, alice));
        quorums.blame(c, _members(), suite, _segments()[4], 4, proof, own);
        _skip(WINDOW + 1);
        quorums.blameLeader(hash);
        vm.assertEq(uint256(_account(bob).active), STAKE, "bob signed no such trace");
        vm.assertEq(uint256(_account(alice).active), STAKE - 2 * BOND);
    }

    function test_attack_member_blaming_himself_for_the_bounty() public {
        Claim memory c = _postFor(_register());
        _challenge(bob, c, 1);
        _answer(c, bob);
        scripted.blame(IWorkRegistry(address(registry)), c, bob, 45);
        uint256 supply = token.totalSupply();
        _blame(c, 4);
        uint256 left = uint256(_account(bob).active) + staking.creditOf(bob);
        vm.assertEq(left, STAKE - BOND, "B is burned");
        vm.assertEq(token.totalSupply(), supply - BOND);
    }

    function test_attack_reward_split_leaves_dust() public {
        bytes32 hash = _finalise(_postFor(_register()));
        quorums.pay(hash, _members());
        uint256 paid = emission.accruedOf(alice) + emission.accruedOf(bob) + emission.accruedOf(carol);
        uint256 alone = Rewards.claimReward(STEPS, 6, STAKE, 0, 0, 0);
        vm.assertTrue(paid != 0 && paid < alone, "never more than a node alone");
        vm.assertEq(emission.accruedOf(address(quorums)), 0);
    }

    function testFuzz_attack_reward_split_above_the_cap(uint32 steps, uint128 a, uint128 b) public pure {
        uint256[2] memory shares = [
            Rewards.memberShare(steps, 4, Rewards.roleBps(true, false), a),
            Rewards.memberShare(steps, 2, Rewards.roleBps(false, true), b)
        ];
        uint256 total = shares[0] + shares[1];
        if (total <= Rewards.CLAIM_CAP) return;
        uint256 paid = shares[0] * Rewards.CLAIM_CAP / total + shares[1] * Rewards.CLAIM_CAP / total;
        vm.assertTrue(paid <= Rewards.CLAIM_CAP && paid + 2 > Rewards.CLAIM_CAP, "within a wei a member of the cap");
    }

    function test_attack_duplicate_member() public {
        IQuorums.Member[] memory m = _members();
        m[2].account = alice;
        _refused(m, _until(), new bytes[](3), IQuorums.DuplicateMember.selector);
    }

    function test_attack_gap_or_overlap_in_ranges() public {
        for (uint16 first = 0; first < 7; ++first) {
            if (first == 2) continue;
            IQuorums.Member[] memory m = _members();
            m[1].firstLayer = first;
            _refused(m, _until(), new bytes[](3), IQuorums.WrongRange.selector);
        }
        // Counts that wrap around.
        IQuorums.Member[] memory wide = _members();
        wide[1].layerCount = type(uint16).max;
        _refused(wide, _until(), new bytes[](3), IQuorums.WrongRange.selector);
    }

    function test_attack_unbounded_members() public {
        IQuorums.Member[] memory m = new IQuorums.Member[](17);
        _refused(m, _until(), new bytes[](17), IQuorums.WrongSize.selector);
        _refused(new IQuorums.Member[](1000), _until(), new bytes[](0), IQuorums.WrongSize.selector);
    }

    function test_attack_claim_bound_to_two_sessions() public {
        uint64 first = _register();
        uint64 second = _register();
        Claim memory c = _postFor(first);
        vm.startPrank(alice);
        vm.expectRevert(IRegistryErrors.SlotBusy.selector);
        registry.postFor(c, second);
        vm.expectRevert(IRegistryErrors.SlotBusy.selector);
        registry.post(c);
        vm.stopPrank();
        bytes32 hash = _finalise(c);
        vm.assertEq(quorums.claimOf(hash).session, first);
    }

    function test_attack_unlock_beyond_the_own_bond() public {
        // Two sessions: leaving one twice must not free the bond of the other.
        uint64 first = _register();
        _register();
        _skip(HOUR + 1);
        _leave(first, bob, 1);
        IQuorums.Member[] memory m = _members();
        vm.expectRevert(abi.encodeWithSelector(IQuorums.BondGone.selector, bob));
        vm.prank(bob);
        quorums.leave(first, m, 1);
        vm.assertEq(_lockedOf(bob), 2 * BOND);
    }
}
