// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { Change, Growth, IVocabulary, Motion, Terms } from "../../src/interfaces/IVocabulary.sol";
import { IGrowthGovernor } from "../../src/interfaces/IGrowthGovernor.sol";
import { GrowthFixture } from "../utils/GrowthFixture.sol";

/// @notice Whoever wants another depth than the stake has voted for.
contract GrowthAttacksTest is GrowthFixture {
    function test_attack_activation_by_a_stranger() public {
        Change memory change = _grow();
        Motion memory motion = _deepMotion(change, mallory);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.OnlyGovernor.selector, mallory));
        vm.prank(mallory);
        vocabulary.activate(motion);
        vm.expectRevert();
        vm.prank(mallory);
        growths.announce(motion, _uriHash());
        vm.expectRevert();
        vm.prank(mallory);
        growths.decide(motion, _uriHash());
    }

    function _call(Change memory change)
        private
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calls)
    {
        (targets, values, calls) = (new address[](1), new uint256[](1), new bytes[](1));
        targets[0] = address(vocabulary);
        calls[0] = abi.encodeCall(IVocabulary.activate, (_deepMotion(change, carol)));
    }

    function test_attack_the_governors_own_execute_skips_neither_grace_nor_holders() public {
        Change memory change = _grow();
        uint256 id = _announced(carol, change);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _call(change);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.InGrace.selector, time + TEN_MINUTES));
        growths.execute(targets, values, calls, _uriHash());
        _skip(TEN_MINUTES);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotReady.selector, 6));
        growths.execute(targets, values, calls, _uriHash());
        _pledge(bob, id);
        growths.execute(targets, values, calls, _uriHash());
        _assertPlace(0, 1);
    }

    function test_attack_replay_of_an_activated_growth() public {
        Change memory change = _grow();
        uint256 id = _announced(carol, change);
        _pledge(bob, id);
        _skip(TEN_MINUTES);
        _decide(change, carol);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotOpen.selector, id));
        _decide(change, carol);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _call(change);
        vm.expectRevert();
        growths.execute(targets, values, calls, _uriHash());
        vm.expectRevert();
        vm.prank(carol);
        growths.proposeGrowth(change, URI);
    }

    function test_attack_cancel_of_a_vote() public {
        Change memory change = _grow();
        uint256 id = _proposeGrowth(carol, change);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _call(change);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, carol));
        vm.prank(carol);
        growths.cancel(targets, values, calls, _uriHash());
    }

    function test_attack_a_vote_that_did_not_pass() public {
        Change memory change = _grow();
        uint256 id = _proposeGrowth(carol, change);
        _pledge(bob, id);
        _skip(DISCUSSION + 1);
        vm.prank(carol);
        growths.castVote(id, FOR);
        vm.prank(bob);
        growths.castVote(id, AGAINST);
        _skip(VOTE);
        Motion memory motion = _deepMotion(change, carol);
        vm.expectRevert();
        growths.announce(motion, _uriHash());
    }

    // --- stale hashes ---

    function test_attack_a_growth_of_a_vocabulary_that_has_changed_meanwhile() public {
        Change memory deeper = _grow();
        uint256 id = _announced(carol, deeper);
        _pledge(bob, id);
        Change memory words = _change();
        _activated(alice, words);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        _decide(deeper, carol);
        _round("words");
        _open();
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 1));
        _decide(deeper, carol);
        _assertDepth(6, 6, 0);
    }

    function test_attack_a_vocabulary_of_a_depth_that_has_changed_meanwhile() public {
        Change memory deeper = _grow();
        uint256 id = _proposeGrowth(carol, deeper);
        Change memory words = _change();
        uint256 open = _propose(bob, words);
        _pledge(bob, id);
        _skip(DISCUSSION + 1);
        _approveGrowth(id);
        _vote(alice, open, FOR);
        _vote(bob, open, FOR);
        _skip(VOTE);
        growths.announce(_deepMotion(deeper, carol), _uriHash());
        _queue(words, bob);
        _skip(TEN_MINUTES);
        _decide(deeper, carol);
        _skip(GRACE);
        Motion memory motion = _motion(words, bob);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        governor.executeChange(motion, _uriHash());
        _round("grows");
        _open();
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 1));
        governor.executeChange(motion, _uriHash());
        // Its bond comes back: the version it is about is no more.
        governor.releaseBond(bob);
        vm.assertEq(uint256(governor.state(open)), uint256(IGovernor.ProposalState.Canceled));
    }

    function test_attack_changes_while_layers_are_young() public {
        _deepened(carol, _grow());
        _round("grows");
        _open();
        _assertDepth(9, 9, 3);
        bytes memory unsettled = abi.encodeWithSelector(IVocabulary.Unsettled.selector, 1, 1);
        vm.expectRevert(unsettled);
        vm.prank(bob);
        governor.bond(77);
        Change memory again = _grow();
        vm.expectRevert(unsettled);
        vm.prank(carol);
        growths.proposeGrowth(again, URI);
    }

    // --- rounds opened with something else ---

    function test_attack_a_round_of_a_growth_opened_without_it() public {
        Change memory change = _grow();
        _deepened(carol, change);
        Terms memory terms = _termsOf(change);
        bytes memory wrong = abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 1);
        vm.expectRevert(wrong);
        registry.openRound();
        vm.expectRevert(wrong);
        registry.openRoundWith(terms);
        Growth memory growth = _growth();
        growth.grown = 12;
        vm.expectRevert(wrong);
        registry.openRoundGrown(terms, abi.encode(growth));
        terms.mergesHash = keccak256(abi.encode(growth));
        vm.expectRevert(wrong);
        registry.openRoundGrown(terms, abi.encode(growth));
        registry.openRoundGrown(_termsOf(change), change.merges);
        _assertDepth(6, 9, 0);
        _step("grows");
        vm.expectRevert(wrong);
        registry.openRound();
        registry.openRoundGrown(_termsOf(change), change.merges);
        _assertDepth(9, 9, 3);
    }

    function test_attack_merges_that_spell_a_growth() public {
        Growth memory growth = _growth();
        Change memory words = _change(0, abi.encode(growth));
        uint256 id = 1;
        vm.prank(bob);
        governor.bond(id);
        vm.expectRevert();
        vm.prank(bob);
        governor.proposeChange(words, URI);
        // Where merges are merges, the version has more rows, and no growth is looked for.
        Change memory merges = _change();
        _activated(alice, merges);
        registry.openRoundGrown(_termsOf(merges), abi.encode(growth));
        _assertDepth(6, 6, 0);
    }
}
