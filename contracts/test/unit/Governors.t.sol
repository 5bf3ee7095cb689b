// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { EmergencyGovernor } from "../../src/EmergencyGovernor.sol";
import { StakeGovernor } from "../../src/StakeGovernor.sol";
import { VocabularyGovernor } from "../../src/VocabularyGovernor.sol";
import { IEmergencyGovernor } from "../../src/interfaces/IEmergencyGovernor.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Change, IVocabulary } from "../../src/interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "../../src/interfaces/IVocabularyGovernor.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice Every verb of both governors, and every revert.
contract GovernorsTest is GovernanceFixture {
    function _assertState(uint256 id, IGovernor.ProposalState expected) internal view {
        vm.assertEq(uint256(governor.state(id)), uint256(expected), "proposal state");
    }

    function _unexpected(uint256 id, IGovernor.ProposalState now_, IGovernor.ProposalState wanted)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IGovernor.GovernorUnexpectedProposalState.selector, id, now_, bytes32(uint256(1) << uint8(wanted))
        );
    }

    // --- proposals ---

    function test_propose_locks_the_bond_and_says_all() public {
        Change memory change = _change();
        uint256 id = governor.idOf(change, carol, URI);
        vm.expectEmit(address(governor));
        emit IVocabularyGovernor.ChangeProposed(id, carol, change, URI);
        vm.assertEq(_propose(carol, change), id);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.openOf(carol), id);
        vm.assertEq(governor.proposalProposer(id), carol);
        vm.assertEq(governor.proposalSnapshot(id), time + DISCUSSION);
        vm.assertEq(governor.proposalDeadline(id), time + DISCUSSION + VOTE);
        _assertState(id, IGovernor.ProposalState.Pending);
    }

    function test_the_id_is_that_of_a_governors_lists() public view {
        Change memory change = _change();
        address[] memory targets = new address[](1);
        bytes[] memory calls = new bytes[](1);
        (targets[0], calls[0]) = (address(vocabulary), abi.encodeCall(IVocabulary.activate, (change, carol)));
        string memory text = string.concat(URI, "#proposer=", _lower(carol));
        uint256 id = governor.hashProposal(targets, new uint256[](1), calls, keccak256(bytes(text)));
        vm.assertEq(governor.idOf(change, carol, URI), id);
    }

    function _lower(address account) private pure returns (string memory) {
        bytes memory text = new bytes(42);
        (text[0], text[1]) = ("0", "x");
        for (uint256 i = 0; i < 40; ++i) {
            text[i + 2] = bytes16("0123456789abcdef")[(uint160(account) >> (156 - 4 * i)) & 15];
        }
        return string(text);
    }

    function test_revert_second_open_proposal() public {
        uint256 id = _propose(carol, _change());
        Change memory other = _change(0, _merges(3));
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.ProposalOpen.selector, id));
        _propose(carol, other);
    }

    function test_revert_proposals_that_could_not_be_activated() public {
        Change memory change = _change(0, "");
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 0));
        _propose(carol, change);
        change = _change(1, _merges(1));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 1, 0));
        _propose(carol, change);
        change = _change();
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.UriTooLong.selector, 257));
        vm.prank(carol);
        governor.proposeChange(change, string(new bytes(257)));
    }

    function test_revert_without_a_free_bond() public {
        vm.prank(carol);
        staking.thaw(STAKE);
        Change memory change = _change();
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        _propose(carol, change);
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
        vm.assertEq(governor.openOf(carol), next);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.proposalSnapshot(next), time + DISCUSSION);
        _assertState(id, IGovernor.ProposalState.Canceled);
        _assertState(next, IGovernor.ProposalState.Pending);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        governor.releaseBond(id);
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
        vm.assertEq(governor.openOf(carol), 0);
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
        address[] memory targets = new address[](1);
        bytes[] memory calls = new bytes[](1);
        (targets[0], calls[0]) = (address(vocabulary), abi.encodeCall(IVocabulary.activate, (change, carol)));
        bytes32 text = keccak256(bytes(string.concat(URI, "#proposer=", _lower(carol))));
        vm.prank(carol);
        governor.cancel(targets, new uint256[](1), calls, text);
        governor.releaseBond(id);
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
        governor.queueChange(change, carol, URI);
        _assertState(id, IGovernor.ProposalState.Queued);
        vm.assertEq(governor.proposalEta(id), time + GRACE);
        _skip(GRACE - 1);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.InGrace.selector, time + 1));
        governor.executeChange(change, carol, URI);
        _skip(1);
        vm.assertEq(governor.executeChange(change, carol, URI), id);
        _assertState(id, IGovernor.ProposalState.Executed);
        _assertPlace(0, 1);
        vm.assertEq(vocabulary.versionOf(1).proposer, carol);
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(governor.openOf(carol), 0);
        vm.assertEq(emission.accruedOf(carol), 5 * NEURO);
        vm.prank(carol);
        emission.collect();
    }

    function test_revert_queue_and_execute_too_early() public {
        Change memory change = _change();
        uint256 id = _propose(carol, change);
        bytes memory early = _unexpected(id, IGovernor.ProposalState.Pending, IGovernor.ProposalState.Succeeded);
        vm.expectRevert(early);
        governor.queueChange(change, carol, URI);
        early = _unexpected(id, IGovernor.ProposalState.Pending, IGovernor.ProposalState.Queued);
        vm.expectRevert(early);
        governor.executeChange(change, carol, URI);
    }

    function test_revert_execute_twice() public {
        Change memory change = _change();
        uint256 id = _queued(carol, change);
        governor.executeChange(change, carol, URI);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Executed, IGovernor.ProposalState.Queued));
        governor.executeChange(change, carol, URI);
    }

    function test_execution_waits_for_a_transition() public {
        Change memory first = _change(0, _merges(2));
        uint256 id = _queued(carol, first);
        vm.prank(address(governor));
        vocabulary.activate(_change(0, _merges(1)), bob);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        governor.executeChange(first, carol, URI);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, id));
        governor.releaseBond(id);
        vm.prank(address(emergency));
        vocabulary.rollback(1);
        governor.executeChange(first, carol, URI);
        _assertPlace(0, 2);
    }

    // --- bonds ---

    function test_release_after_defeat() public {
        uint256 id = _propose(carol, _change());
        _skip(DISCUSSION);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, id));
        governor.releaseBond(id);
        _skip(VOTE + 1);
        _assertState(id, IGovernor.ProposalState.Defeated);
        governor.releaseBond(id);
        vm.assertEq(_lockedOf(carol), 0);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        governor.releaseBond(id);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, 7));
        governor.releaseBond(7);
        // Another URI, another try.
        vm.prank(carol);
        governor.proposeChange(_change(0, _merges(2)), "https://example.org/again.json");
    }

    function test_release_of_a_stale_proposal_ends_it() public {
        Change memory stale = _change(0, _merges(3));
        uint256 id = _queued(carol, stale);
        vm.prank(address(governor));
        vocabulary.activate(_change(0, _merges(2)), bob);
        _round("grown");
        registry.openRound();
        _assertPlace(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 1));
        governor.executeChange(stale, carol, URI);
        governor.releaseBond(id);
        vm.assertEq(_lockedOf(carol), 0);
        _assertState(id, IGovernor.ProposalState.Canceled);
    }

    // --- emergency ---

    function test_emergency_vote_takes_a_version_back() public {
        uint16 version = _activated(carol, _change());
        vm.prank(bob);
        uint256 id = emergency.proposeRollback(version, "it is wrong");
        vm.assertEq(id, emergency.idOf(version));
        vm.assertTrue(vocabulary.versionOf(version).contested);
        vm.assertEq(emergency.proposalDeadline(id), time + EMERGENCY);
        _skip(1);
        vm.prank(alice);
        emergency.castVote(id, FOR);
        vm.prank(bob);
        emergency.castVote(id, FOR);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Active, IGovernor.ProposalState.Succeeded));
        emergency.executeRollback(version);
        _skip(EMERGENCY);
        emergency.executeRollback(version);
        _assertPlace(0, 0);
        vm.assertEq(staking.activeOf(carol), STAKE - 100 * NEURO);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Executed, IGovernor.ProposalState.Succeeded));
        emergency.executeRollback(version);
    }

    function test_the_bond_reaches_stake_that_thaws() public {
        uint16 version = _activated(carol, _change());
        vm.prank(carol);
        staking.thaw(STAKE);
        vm.prank(bob);
        uint256 id = emergency.proposeRollback(version, "");
        _skip(1);
        vm.prank(alice);
        emergency.castVote(id, FOR);
        _skip(EMERGENCY);
        emergency.executeRollback(version);
        vm.assertEq(_account(carol).thawing, STAKE - 100 * NEURO);
    }

    function test_revert_emergency_vote_by_too_little_stake() public {
        uint16 version = _activated(carol, _change());
        vm.prank(carol);
        staking.thaw(STAKE - 222 * NEURO); // 222 of 2,222: 9.99 %
        _skip(1);
        bytes memory reason = abi.encodeWithSelector(
            IGovernor.GovernorInsufficientProposerVotes.selector, carol, 222 * NEURO, 222.2e18
        );
        vm.expectRevert(reason);
        vm.prank(carol);
        emergency.proposeRollback(version, "");
        vm.prank(carol);
        staking.stake(NEURO);
        _skip(1); // 223 of 2,223
        vm.prank(carol);
        emergency.proposeRollback(version, "");
    }

    function test_revert_emergency_vote_about_what_cannot_be_taken_back() public {
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 0));
        vm.prank(alice);
        emergency.proposeRollback(0, "");
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 9));
        vm.prank(alice);
        emergency.proposeRollback(9, "");
        vm.expectRevert(abi.encodeWithSelector(IEmergencyGovernor.ReasonTooLong.selector, 257));
        vm.prank(alice);
        emergency.proposeRollback(0, string(new bytes(257)));
    }

    function test_revert_cancel_of_an_emergency_vote() public {
        uint16 version = _activated(carol, _change());
        vm.prank(alice);
        uint256 id = emergency.proposeRollback(version, "");
        address[] memory targets = new address[](1);
        bytes[] memory calls = new bytes[](1);
        (targets[0], calls[0]) = (address(vocabulary), abi.encodeCall(IVocabulary.rollback, (version)));
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, alice));
        vm.prank(alice);
        emergency.cancel(targets, new uint256[](1), calls, keccak256("Take back version 1"));
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
