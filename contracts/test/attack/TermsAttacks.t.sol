// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Change, IVocabulary, Motion, Terms } from "../../src/interfaces/IVocabulary.sol";
import { IVocabularyGovernor } from "../../src/interfaces/IVocabularyGovernor.sol";
import { GovernanceAttackFixture } from "../utils/GovernanceAttackFixture.sol";

/// @notice Attacks on what votes leave to calls of their own: bonds, rewards, and terms that only a hash stands for.
contract TermsAttacksTest is GovernanceAttackFixture {
    /// @dev A bond shows a hash. When the terms come out, the name is the proposer's already: to bond it, or to propose under
    /// it, helps nobody else.
    function test_attack_proposal_front_run_of_a_bond() public {
        Change memory change = _change();
        _rich(STAKE);
        uint256 id = _bond(carol, change);
        vm.prank(mallory);
        governor.bond(id);
        uint256 own = _idOf(change, mallory);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotBonded.selector, own, id));
        _submit(mallory, change);
        vm.assertEq(_submit(carol, change), id);
        vm.assertEq(governor.proposalProposer(id), carol);
        // The bond that mallory has locked under another's name ends nothing, and goes back.
        vm.startPrank(mallory);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        governor.withdraw(id);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotOpenProposal.selector, id));
        governor.amend(id, change, "https://example.org/mine.json");
        governor.releaseBond(mallory);
        vm.stopPrank();
        vm.assertEq(_lockedOf(mallory), 0);
        vm.assertEq(uint256(_state(id)), uint256(IGovernor.ProposalState.Pending));
    }

    /// @dev The bond of an open proposal comes back by no verb, and moves to no other proposal.
    function test_attack_bond_withdrawn_while_open() public {
        _rich(100 * NEURO);
        uint256 id = _propose(mallory, _change());
        uint256 other = _idOf(_change(0, _merges(3)), mallory);
        bytes memory open = abi.encodeWithSelector(IVocabularyGovernor.StillOpen.selector, id);
        for (uint256 i = 0; i < 3; ++i) {
            vm.startPrank(mallory);
            vm.expectRevert(open);
            governor.releaseBond(mallory);
            vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.ProposalOpen.selector, id));
            governor.bond(other);
            vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, 0, 100 * NEURO));
            staking.thaw(100 * NEURO);
            vm.stopPrank();
            // In discussion, in the vote, passed.
            if (i == 0) _skip(DISCUSSION + 1);
            if (i == 1) _vote(alice, id, FOR);
            if (i == 1) _vote(bob, id, FOR);
            if (i == 1) _skip(VOTE);
        }
        vm.assertEq(uint256(_state(id)), uint256(IGovernor.ProposalState.Succeeded));
        vm.assertEq(_lockedOf(mallory), 100 * NEURO);
    }

    /// @dev One bond stands behind one proposal: a second is not made, and the first does not come back to life.
    function test_attack_one_bond_for_two_proposals() public {
        _rich(100 * NEURO);
        Change memory first = _change();
        Change memory second = _change(0, _merges(3));
        uint256 id = _propose(mallory, first);
        uint256 other = _idOf(second, mallory);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotBonded.selector, other, id));
        _submit(mallory, second);
        vm.prank(mallory);
        vm.assertEq(governor.amend(id, second, URI), other);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotNew.selector, id));
        vm.prank(mallory);
        governor.bond(id);
        vm.prank(mallory);
        governor.withdraw(other);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NotNew.selector, id));
        vm.prank(mallory);
        governor.bond(id);
        _skip(DISCUSSION + 1);
        vm.assertEq(uint256(_state(id)), uint256(IGovernor.ProposalState.Canceled));
        vm.assertEq(uint256(_state(other)), uint256(IGovernor.ProposalState.Canceled));
    }

    /// @dev A bond that a slash has eaten is locked anew before it stands for the next proposal.
    function test_attack_proposer_without_bond() public {
        _rich(100 * NEURO);
        Change memory change = _change();
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NothingBonded.selector, mallory));
        _submit(mallory, change);
        _activated(mallory, change);
        _takenBack(1, carol);
        vm.assertEq(_account(mallory).active, 0);
        uint256 next = _idOf(_change(0, _merges(3)), mallory);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        vm.prank(mallory);
        governor.bond(next);
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.NothingBonded.selector, mallory));
        governor.releaseBond(mallory);
    }

    /// @dev A bond left locked after its proposal's end, and eaten by another keeper's slash, buys no second proposal.
    function test_attack_proposer_without_bond_after_another_slash() public {
        _rich(100 * NEURO);
        _propose(mallory, _change());
        _skip(DISCUSSION + VOTE + 1);
        vm.prank(address(registry));
        staking.slash(mallory, 100 * NEURO, address(0), 0);
        uint256 next = _idOf(_change(0, _merges(3)), mallory);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        vm.prank(mallory);
        governor.bond(next);
    }

    /// @dev The slash of an older version leaves the bond of the same proposer's open proposal alone.
    function test_attack_rollback_frees_no_open_bond() public {
        _activated(carol, _change());
        _round("grown");
        _open();
        uint256 id = _propose(carol, _change(1, _merges(2)));
        _takenBack(1, carol);
        vm.assertEq(_account(carol).active, STAKE - 100 * NEURO);
        vm.assertEq(_lockedOf(carol), 100 * NEURO);
        vm.assertEq(governor.bondOf(carol), id);
    }

    /// @dev The hash that was voted on is the one that a round is opened with: nobody slips other programs in.
    function test_attack_terms_that_do_not_match() public {
        Change memory change = _change();
        _activated(carol, change);
        bytes memory reason = abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 1);
        for (uint256 i = 0; i < 6; ++i) {
            Terms memory forged = _termsOf(change);
            if (i == 0) forged.programHash = "forged";
            if (i == 1) forged.growHash = "forged";
            if (i == 2) forged.shrinkHash = "forged";
            if (i == 3) forged.dataRoot = "forged";
            if (i == 4) forged.mergesHash = "forged";
            if (i == 5) forged = _firstTerms();
            vm.expectRevert(reason);
            vm.prank(mallory);
            registry.openRoundWith(forged);
        }
        vm.expectRevert(reason);
        registry.openRound();
        vm.assertEq(uint256(registry.currentRound()), 0);
        registry.openRoundWith(_termsOf(change));
    }

    /// @dev Terms that were right a round ago are wrong when the version has changed.
    function test_attack_stale_terms_of_a_round() public {
        Change memory change = _change();
        _activated(carol, change);
        _round("grown");
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 1));
        registry.openRoundWith(_firstTerms());
        _open();
        _takenBack(1, carol);
        // The round that shrinks needs the terms of the version that it leaves, the next those of the one that it is in.
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 1));
        registry.openRoundWith(_firstTerms());
        _round("shrunk");
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 0));
        registry.openRoundWith(_termsOf(change));
        registry.openRoundWith(_firstTerms());
        _assertPlace(0, 0);
    }

    /// @dev A motion other than the one voted on has another id, whatever of it is changed.
    function test_attack_motion_that_was_not_voted_on() public {
        Change memory change = _change();
        _queued(carol, change);
        for (uint256 i = 0; i < 4; ++i) {
            Motion memory forged = _motion(change, carol);
            if (i == 0) forged.terms = "forged";
            if (i == 1) forged.parent = 1;
            if (i == 2) forged.size += 1;
            if (i == 3) forged.proposer = mallory;
            uint256 id = governor.idOf(forged, _uriHash());
            vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorNonexistentProposal.selector, id));
            governor.executeChange(forged, _uriHash());
        }
    }

    function test_attack_reward_claimed_twice() public {
        _activated(carol, _change());
        vm.prank(mallory);
        vocabulary.claimReward(1);
        vm.assertEq(emission.accruedOf(carol), 5 * NEURO);
        vm.assertEq(emission.accruedOf(mallory), 0);
        _takenBack(1, carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.AlreadyPaid.selector, 1));
        vocabulary.claimReward(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NoSuchVersion.selector, 2));
        vocabulary.claimReward(2);
    }
}
