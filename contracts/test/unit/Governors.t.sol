// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { EmergencyGovernor } from "../../src/EmergencyGovernor.sol";
import { StakeGovernor } from "../../src/StakeGovernor.sol";
import { VocabularyGovernor } from "../../src/VocabularyGovernor.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Change, IVocabulary, Motion } from "../../src/interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "../../src/interfaces/IVocabularyGovernor.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice Every verb of the vocabulary's governor, and every revert; how both governors are set up.
contract GovernorsTest is GovernanceFixture {
    function _assertState(uint256 id, IGovernor.ProposalState expected) internal view {
        vm.assertEq(uint256(governor.state(id)), uint256(expected), "proposal state");
    }

    // --- proposals ---

    function test_bond_then_propose() public {
        Change memory change = _change();
        uint256 id = _idOf(change, carol);
        vm.expectEmit(address(governor));
        emit IVocabularyGovernor.Bonded(id, carol);
        vm.prank(carol);
        governor.bond(id);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.bondOf(carol), id);
        vm.expectEmit(address(governor));
        emit IVocabularyGovernor.ChangeProposed(
            change.programHash, change.growHash, change.shrinkHash, change.dataRoot, change.merges
        );
        vm.assertEq(_submit(carol, change), id);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.proposalProposer(id), carol);
        vm.assertEq(governor.proposalSnapshot(id), time + DISCUSSION);
        vm.assertEq(governor.proposalDeadline(id), time + DISCUSSION + VOTE);
        _assertState(id, IGovernor.ProposalState.Pending);
    }

    function test_the_motion_of_a_change() public {
        Change memory change = _change(0, _merges(5));
        Motion memory motion = governor.motionOf(change, carol);
        vm.assertEq(keccak256(abi.encode(motion)), keccak256(abi.encode(_motion(change, carol))));
        vm.assertEq(motion.size, 269);
        change = _change(0, new bytes(7));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 7));
        governor.motionOf(change, carol);
    }

    /// @dev The Governor's own verbs take the lists that its event has.
    function _lists(Change memory change)
        private
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calls)
    {
        (targets, values, calls) = (new address[](1), new uint256[](1), new bytes[](1));
        targets[0] = address(vocabulary);
        calls[0] = abi.encodeCall(IVocabulary.activate, (_motion(change, carol)));
    }

    function test_the_id_is_a_flat_hash_of_the_one_action() public {
        Change memory change = _change();
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _lists(change);
        uint256 id = governor.getProposalId(targets, values, calls, _uriHash());
        bytes memory action = abi.encode(address(vocabulary), 0, keccak256(calls[0]), _uriHash());
        vm.assertEq(id, uint256(keccak256(action)) >> 40);
        vm.assertEq(_idOf(change, carol), id);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidProposalLength.selector, 2, 1, 1));
        governor.getProposalId(new address[](2), values, calls, _uriHash());
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidProposalLength.selector, 1, 0, 1));
        governor.queue(targets, values, new bytes[](0), _uriHash());
    }

    function test_the_standard_verbs_carry_a_change_through() public {
        Change memory change = _change();
        _passed(carol, change);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _lists(change);
        governor.queue(targets, values, calls, _uriHash());
        _skip(GRACE);
        governor.execute(targets, values, calls, _uriHash());
        _assertPlace(0, 1);
    }

    function test_revert_second_open_proposal() public {
        uint256 id = _propose(carol, _change());
        uint256 other = _idOf(_change(0, _merges(3)), carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.ProposalOpen.selector, id));
        vm.prank(carol);
        governor.bond(other);
        Change memory second = _change(0, _merges(3));
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotBonded.selector, other, id));
        _submit(carol, second);
    }

    function test_revert_proposals_that_could_not_be_activated() public {
        Change memory change = _change();
        _bond(carol, change);
        change.merges = "";
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 0));
        _submit(carol, change);
        change.merges = _merge(300, 1, 2000);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.UnknownToken.selector, 0));
        _submit(carol, change);
        change.parent = 1;
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 1, 0));
        _submit(carol, change);
        change = _change();
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.UriTooLong.selector, 257));
        vm.prank(carol);
        governor.proposeChange(change, string(new bytes(257)));
    }

    function test_revert_bonds() public {
        Change memory change = _change();
        uint256 id = _idOf(change, carol);
        bytes4 notNew = IVocabularyGovernor.NotNew.selector;
        vm.startPrank(carol);
        vm.expectRevert(abi.encodeWithSelector(notNew, 0));
        governor.bond(0);
        vm.expectRevert(abi.encodeWithSelector(notNew, uint256(1) << 216));
        governor.bond(uint256(1) << 216);
        staking.thaw(STAKE);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        governor.bond(id);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NothingBonded.selector, carol));
        governor.proposeChange(change, URI);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NothingBonded.selector, carol));
        governor.releaseBond(carol);
        vm.stopPrank();
        _activate(_change(0, _merges(1)), bob);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.Unsettled.selector, 0, 1));
        vm.prank(alice);
        governor.bond(id);
    }

    /// @dev A bond whose proposal was never made moves on, or goes back to its owner, as that wishes.
    function test_a_bond_before_its_proposal() public {
        uint256 unmade = _bond(carol, _change());
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, unmade));
        governor.releaseBond(carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, unmade));
        vm.prank(carol);
        governor.withdraw(unmade);
        _propose(carol, _change(0, _merges(3)));
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        _bond(bob, _change());
        vm.prank(bob);
        governor.releaseBond(bob);
        vm.assertEq(_lockedOf(bob), 0);
        vm.assertEq(governor.bondOf(bob), 0);
    }

    function test_revert_anything_else() public {
        vm.expectRevert(StakeGovernor.OnlyOwnVerbs.selector);
        governor.propose(new address[](1), new uint256[](1), new bytes[](1), "drain");
        vm.expectRevert(StakeGovernor.OnlyOwnVerbs.selector);
        governor.relay(address(token), 0, "");
        vm.expectRevert(StakeGovernor.OnlyOwnVerbs.selector);
        emergency.propose(new address[](1), new uint256[](1), new bytes[](1), "drain");
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, address(this)));
        governor.setLateQuorumVoteExtension(1);
        (bool ok,) = address(governor).call{ value: 0 }("");
        vm.assertFalse(ok); // takes no ether
    }

    // --- discussion ---

    function test_amend_starts_discussion_again_and_keeps_the_bond() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION);
        Change memory better = _change(0, _merges(3));
        vm.prank(carol);
        uint256 next = governor.amend(id, better, URI);
        vm.assertEq(governor.bondOf(carol), next);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.proposalSnapshot(next), time + DISCUSSION);
        _assertState(id, IGovernor.ProposalState.Canceled);
        _assertState(next, IGovernor.ProposalState.Pending);
        vm.assertEq(next, _idOf(better, carol));
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, next));
        governor.releaseBond(carol);
    }

    function test_revert_amend() public {
        uint256 id = _propose(carol, _change());
        Change memory better = _change(0, _merges(3));
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        vm.prank(alice);
        governor.amend(id, better, URI);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, 0));
        vm.prank(alice);
        governor.amend(0, better, URI);
        _skip(DISCUSSION + 1);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.DiscussionOver.selector, id));
        vm.prank(carol);
        governor.amend(id, better, URI);
    }

    function test_withdraw() public {
        uint256 id = _propose(carol, _change());
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        vm.prank(alice);
        governor.withdraw(id);
        vm.expectEmit(address(governor));
        emit IVocabularyGovernor.BondFreed(id, carol);
        vm.prank(carol);
        governor.withdraw(id);
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(governor.bondOf(carol), 0);
        _assertState(id, IGovernor.ProposalState.Canceled);
        _skip(DISCUSSION + 1);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Canceled, IGovernor.ProposalState.Active));
        _vote(alice, id, FOR);
    }

    function test_revert_withdraw_in_the_vote() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.DiscussionOver.selector, id));
        vm.prank(carol);
        governor.withdraw(id);
    }

    /// @dev A standard tool's cancel ends it as well; the bond is then anybody's to release.
    function test_standard_cancel_then_release() public {
        Change memory change = _change();
        uint256 id = _propose(carol, change);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _lists(change);
        vm.prank(carol);
        governor.cancel(targets, values, calls, _uriHash());
        _assertState(id, IGovernor.ProposalState.Canceled);
        governor.releaseBond(carol);
        vm.assertEq(_lockedOf(carol), 0);
    }

    // --- votes ---

    function test_passes_at_66_percent_of_a_quorum() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(bob, id, FOR);
        _vote(carol, id, AGAINST);
        _skip(VOTE);
        _assertState(id, IGovernor.ProposalState.Succeeded); // 66.67 %
    }

    function test_fails_below_66_percent() public {
        // 1,940 of 2,940 votes: 65.99 %.
        vm.prank(alice);
        staking.thaw(60 * NEURO);
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(bob, id, FOR);
        _vote(carol, id, AGAINST);
        _skip(VOTE);
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    function test_fails_without_quorum() public {
        vm.prank(alice);
        staking.thaw(150 * NEURO); // 850 of 2,850: 29.8 %
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _skip(VOTE);
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    function test_votes_against_and_abstentions_make_a_quorum() public {
        vm.prank(alice);
        staking.thaw(150 * NEURO);
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(bob, id, ABSTAIN);
        _skip(VOTE);
        _assertState(id, IGovernor.ProposalState.Succeeded);
    }

    function test_abstentions_alone_do_not_pass() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + 1);
        _vote(alice, id, ABSTAIN);
        _vote(bob, id, ABSTAIN);
        _skip(VOTE);
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    // --- the way to activation ---

    function test_from_proposal_to_activation() public {
        Change memory change = _change();
        uint256 id = _passed(carol, change);
        _queue(change, carol);
        _assertState(id, IGovernor.ProposalState.Queued);
        vm.assertEq(governor.proposalEta(id), time + GRACE);
        _skip(GRACE - 1);
        Motion memory motion = _motion(change, carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.InGrace.selector, time + 1));
        governor.executeChange(motion, _uriHash());
        _skip(1);
        vm.assertEq(governor.executeChange(motion, _uriHash()), id);
        _assertState(id, IGovernor.ProposalState.Executed);
        _assertPlace(0, 1);
        vm.assertEq(vocabulary.versionOf(1).proposer, carol);
        // Bond and reward wait until they are fetched.
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.expectEmit(address(governor));
        emit IVocabularyGovernor.BondFreed(id, carol);
        governor.releaseBond(carol);
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(governor.bondOf(carol), 0);
        _assertState(id, IGovernor.ProposalState.Executed);
        vocabulary.claimReward(1);
        vm.assertEq(emission.accruedOf(carol), 5 * NEURO);
    }

    function test_revert_queue_and_execute_too_early() public {
        Change memory change = _change();
        uint256 id = _propose(carol, change);
        Motion memory motion = _motion(change, carol);
        bytes memory early = _unexpected(id, IGovernor.ProposalState.Pending, IGovernor.ProposalState.Succeeded);
        vm.expectRevert(early);
        governor.queueChange(motion, _uriHash());
        early = _unexpected(id, IGovernor.ProposalState.Pending, IGovernor.ProposalState.Queued);
        vm.expectRevert(early);
        governor.executeChange(motion, _uriHash());
    }

    function test_revert_execute_twice() public {
        Change memory change = _change();
        uint256 id = _queued(carol, change);
        _execute(change, carol);
        Motion memory motion = _motion(change, carol);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Executed, IGovernor.ProposalState.Queued));
        governor.executeChange(motion, _uriHash());
    }

    function test_execution_waits_for_a_transition() public {
        Change memory first = _change(0, _merges(2));
        uint256 id = _queued(carol, first);
        _activate(_change(0, _merges(1)), bob);
        Motion memory motion = _motion(first, carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        governor.executeChange(motion, _uriHash());
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, id));
        governor.releaseBond(carol);
        vm.prank(address(emergency));
        vocabulary.rollback(1);
        _execute(first, carol);
        _assertPlace(0, 2);
    }

    // --- bonds ---

    function test_release_after_defeat() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, id));
        governor.releaseBond(carol);
        _skip(VOTE + 1);
        _assertState(id, IGovernor.ProposalState.Defeated);
        governor.releaseBond(carol);
        _assertState(id, IGovernor.ProposalState.Defeated);
        vm.assertEq(_lockedOf(carol), 0);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NothingBonded.selector, carol));
        governor.releaseBond(carol);
        // Another URI, another try; under the same one there is none.
        Change memory change = _change(0, _merges(2));
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotNew.selector, id));
        vm.prank(carol);
        governor.bond(id);
        string memory again = "https://example.org/again.json";
        uint256 next = governor.idOf(_motion(change, carol), keccak256(bytes(again)));
        vm.startPrank(carol);
        governor.bond(next);
        vm.assertEq(governor.proposeChange(change, again), next);
        vm.stopPrank();
    }

    /// @dev What is over makes way for the next proposal, without a withdrawal in between.
    function test_a_bond_moves_on_from_a_proposal_that_is_over() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION + VOTE + 1);
        uint256 next = _propose(carol, _change(0, _merges(3)));
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.bondOf(carol), next);
        _assertState(id, IGovernor.ProposalState.Defeated);
        _assertState(next, IGovernor.ProposalState.Pending);
    }

    function test_release_of_a_stale_proposal_ends_it() public {
        Change memory stale = _change(0, _merges(3));
        uint256 id = _queued(carol, stale);
        _activate(_change(0, _merges(2)), bob);
        _round("grown");
        _open();
        _assertPlace(1, 1);
        Motion memory motion = _motion(stale, carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 1));
        governor.executeChange(motion, _uriHash());
        vm.expectEmit(address(governor));
        emit IGovernor.ProposalCanceled(id);
        governor.releaseBond(carol);
        vm.assertEq(_lockedOf(carol), 0);
        _assertState(id, IGovernor.ProposalState.Canceled);
    }

    // --- construction ---

    function test_parameters_are_readable() public view {
        vm.assertEq(governor.votingDelay(), DISCUSSION);
        vm.assertEq(governor.votingPeriod(), VOTE);
        vm.assertEq(governor.lateQuorumVoteExtension(), VOTE_EXTENSION);
        vm.assertEq(governor.grace(), GRACE);
        vm.assertEq(emergency.votingDelay(), 0);
        vm.assertEq(emergency.votingPeriod(), EMERGENCY);
        vm.assertEq(governor.quorum(time - 1), 900 * NEURO);
        vm.assertEq(emergency.proposalThreshold(), 300 * NEURO);
        vm.assertEq(keccak256(bytes(governor.CLOCK_MODE())), keccak256("mode=timestamp"));
        vm.assertEq(keccak256(bytes(governor.COUNTING_MODE())), keccak256("support=bravo&quorum=against,for,abstain"));
    }

    function test_revert_governors_at_other_addresses() public {
        vm.expectRevert(abi.encodeWithSelector(StakeGovernor.NotGovernor.selector, address(governor)));
        new VocabularyGovernor(vocabulary, DISCUSSION, VOTE, VOTE_EXTENSION, GRACE);
        vm.expectRevert(abi.encodeWithSelector(StakeGovernor.NotGovernor.selector, address(emergency)));
        new EmergencyGovernor(vocabulary, EMERGENCY);
        vm.expectRevert(StakeGovernor.BadTimes.selector);
        new EmergencyGovernor(vocabulary, 0);
    }

    function deployWith(Config memory c) external {
        _deploy(address(this), c);
    }

    function test_revert_times_that_must_be_positive() public {
        for (uint256 i = 0; i < 5; ++i) {
            Config memory c = _config();
            if (i == 0) c.votes.discussion = 0;
            if (i == 1) c.votes.vote = 0;
            if (i == 2) c.votes.voteExtension = 0;
            if (i == 3) c.votes.grace = 0;
            if (i == 4) c.votes.emergency = 0;
            vm.expectRevert(StakeGovernor.BadTimes.selector);
            this.deployWith(c);
        }
    }
}
