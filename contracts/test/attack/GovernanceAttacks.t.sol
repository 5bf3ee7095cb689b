// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Change, IVocabulary, Motion } from "../../src/interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "../../src/interfaces/IVocabularyGovernor.sol";
import { GovernanceAttackFixture } from "../utils/GovernanceAttackFixture.sol";

/// @notice Attempts to capture, block or wear out the votes about the vocabulary, each by name.
contract GovernanceAttacksTest is GovernanceAttackFixture {
    /// @dev A whale brings the quorum alone in the last second; the others get the extension to vote it down.
    function test_attack_last_minute_quorum_leaves_time_to_answer() public {
        _rich(3000 * NEURO);
        uint256 id = _propose(mallory, _change());
        _skip(DISCUSSION + VOTE);
        _vote(mallory, id, FOR);
        vm.assertEq(governor.proposalDeadline(id), time + VOTE_EXTENSION);
        _skip(VOTE_EXTENSION - 1);
        _vote(alice, id, AGAINST);
        _vote(bob, id, AGAINST);
        _vote(carol, id, AGAINST);
        // The quorum is reached once: no vote extends it again.
        vm.assertEq(governor.proposalDeadline(id), time + 1);
        _skip(2);
        vm.assertEq(uint256(_state(id)), uint256(IGovernor.ProposalState.Defeated));
    }

    /// @dev Whoever copies a proposal from the mempool makes one of its own and leaves the victim's alone.
    function test_attack_proposal_front_run_takes_nothing() public {
        Change memory change = _change();
        _rich(STAKE);
        uint256 copied = _propose(mallory, change);
        vm.prank(mallory);
        governor.withdraw(copied);
        uint256 id = _propose(carol, change);
        vm.assertTrue(id != copied);
        vm.assertEq(governor.proposalProposer(id), carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        vm.prank(mallory);
        governor.withdraw(id);
    }

    /// @dev Every proposal costs a bond for as long as it is open, and an account has one.
    function test_attack_spam_proposals_cost_a_bond_each() public {
        _rich(150 * NEURO);
        uint256 id = _propose(mallory, _change());
        Change memory other = _change(0, _merges(3));
        uint256 named = _idOf(other, mallory);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.ProposalOpen.selector, id));
        vm.prank(mallory);
        governor.bond(named);
        vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, 50 * NEURO, 100 * NEURO));
        vm.prank(mallory);
        staking.thaw(100 * NEURO);
        // Moving on to another account needs stake of that account's own.
        address second = vm.addr(0xBAD2);
        named = _idOf(other, second);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        vm.prank(second);
        governor.bond(named);
    }

    /// @dev Of two passed changes of one version, the second dies with the first's activation, and stays dead when that is
    /// taken back.
    function test_attack_stale_execution_after_another_change() public {
        Change memory first = _change(0, _merges(2));
        Change memory second = _change(0, _merges(3));
        uint256 stale = _propose(bob, second);
        _queuedBoth(first, second, stale);
        _execute(first, carol);
        Motion memory motion = _motion(second, bob);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        governor.executeChange(motion, _uriHash());
        _round("grown");
        _open();
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 1));
        governor.executeChange(motion, _uriHash());
        governor.releaseBond(bob);
        _takenBack(1, alice);
        _round("shrunk");
        _open();
        _assertPlace(0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector,
                stale,
                IGovernor.ProposalState.Canceled,
                bytes32(uint256(1) << uint8(IGovernor.ProposalState.Queued))
            )
        );
        governor.executeChange(motion, _uriHash());
    }

    function _queuedBoth(Change memory first, Change memory second, uint256 stale) private {
        uint256 id = _propose(carol, first);
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(alice, stale, FOR);
        _skip(VOTE);
        _queue(first, carol);
        _queue(second, bob);
        _skip(GRACE);
    }

    /// @dev A tenth of the stake cannot hold the network in emergency votes: one a version, and one outcome.
    function test_attack_rollback_oscillation_ends_with_the_version() public {
        uint16 version = _activated(carol, _change());
        vm.prank(alice);
        uint256 id = emergency.proposeRollback(version, "");
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector, id, IGovernor.ProposalState.Pending, bytes32(0)
            )
        );
        vm.prank(alice);
        emergency.proposeRollback(version, "again");
        _skip(EMERGENCY + 1);
        vm.assertEq(uint256(emergency.state(id)), uint256(IGovernor.ProposalState.Defeated));
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorUnexpectedProposalState.selector, id, IGovernor.ProposalState.Defeated, bytes32(0)
            )
        );
        vm.prank(bob);
        emergency.proposeRollback(version, "and again");
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 0));
        vm.prank(bob);
        emergency.proposeRollback(0, "");
        _assertPlace(0, 1);
    }

    /// @dev What was taken back comes again only by a whole new vote, as another version.
    function test_attack_rollback_oscillation_is_no_way_forth() public {
        Change memory change = _change();
        _activated(carol, change);
        _takenBack(1, alice);
        Motion memory motion = _motion(change, carol);
        vm.expectRevert();
        governor.executeChange(motion, _uriHash());
        vm.expectRevert();
        emergency.executeRollback(1);
        _assertPlace(0, 0);
    }

    /// @dev Stake that comes within the second of an emergency vote does not open it, and cannot leave before the outcome.
    function test_attack_flash_stake_opens_nothing() public {
        uint16 version = _activated(carol, _change());
        _rich(100_000 * NEURO);
        uint256 needed = emergency.proposalThreshold();
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, mallory, 0, needed)
        );
        vm.prank(mallory);
        emergency.proposeRollback(version, "");
        vm.prank(alice);
        uint256 id = emergency.proposeRollback(version, "");
        _skip(1);
        address late = mallory;
        vm.prank(late);
        staking.thaw(100_000 * NEURO); // its votes of the snapshot's second stay cast, its stake stays for the thaw
        vm.prank(late);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillThawing.selector, uint64(time + THAW)));
        staking.withdraw();
        vm.assertEq(uint256(emergency.state(id)), uint256(IGovernor.ProposalState.Active));
    }

    /// @dev Stake that comes after the snapshot has no vote, however much it is.
    function test_attack_flash_stake_after_the_snapshot() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _rich(100_000 * NEURO);
        vm.prank(mallory);
        vm.assertEq(governor.castVote(id, FOR), 0);
        _skip(VOTE);
        vm.assertEq(uint256(_state(id)), uint256(IGovernor.ProposalState.Defeated));
    }

    /// @dev A voter's stake is still here, and slashable, when the last vote about its choice can end.
    function test_attack_vote_then_exit_comes_after_the_outcome() public {
        Change memory change = _change();
        uint256 id = _propose(carol, change);
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(bob, id, FOR);
        vm.prank(alice);
        staking.thaw(STAKE);
        uint256 left = time + THAW;
        _skip(VOTE + VOTE_EXTENSION);
        _queue(change, carol);
        _skip(GRACE);
        _execute(change, carol);
        vm.prank(bob);
        uint256 back = emergency.proposeRollback(1, "");
        _skip(1);
        vm.prank(bob);
        emergency.castVote(back, FOR);
        _skip(EMERGENCY);
        emergency.executeRollback(1);
        vm.assertLe(time, left + 2, "the emergency vote has ended");
        vm.assertEq(_account(alice).thawing, STAKE);
    }

    /// @dev Votes are those of the snapshot: handed on afterwards, they have been cast once.
    function test_attack_double_vote_by_redelegation_counts_once() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        vm.prank(alice);
        staking.delegate(bob);
        _skip(1);
        _vote(bob, id, FOR);
        (, uint256 inFavour,) = governor.proposalVotes(id);
        vm.assertEq(inFavour, 2 * STAKE);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, alice));
        _vote(alice, id, FOR);
        // Delegated before the snapshot, they are the delegate's and no more the owner's.
        vm.prank(carol);
        staking.delegate(bob);
        uint256 next = _propose(alice, _change(0, _merges(3)));
        _skip(DISCUSSION + 1);
        vm.prank(bob);
        vm.assertEq(governor.castVote(next, FOR), 3 * STAKE);
        vm.prank(carol);
        vm.assertEq(governor.castVote(next, FOR), 0);
    }

    function test_attack_deployer_is_powerless_over_votes() public {
        Motion memory motion = _motion(_change(), address(this));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.OnlyGovernor.selector, address(this)));
        vocabulary.activate(motion);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.OnlyEmergency.selector, address(this)));
        vocabulary.rollback(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.OnlyRegistry.selector, address(this)));
        vocabulary.enter(true, _firstTerms(), "");
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, address(this)));
        governor.setLateQuorumVoteExtension(0);
        vm.expectRevert();
        governor.relay(address(staking), 0, "");
        vm.expectRevert();
        emergency.relay(address(staking), 0, "");
    }
}
