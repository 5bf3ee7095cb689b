// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Vocabulary } from "../../src/Vocabulary.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Change, Era, IVocabulary, Motion, Terms } from "../../src/interfaces/IVocabulary.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IVocabularyGovernor } from "../../src/interfaces/IVocabularyGovernor.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice Versions, transitions and every revert of the vocabulary; its callers are played where they are fixed contracts.
contract VocabularyTest is GovernanceFixture {
    function _activate(Change memory change) internal returns (uint16) {
        return _activate(change, carol);
    }

    function _rollback(uint16 version) internal {
        vm.prank(address(emergency));
        vocabulary.rollback(version);
    }

    function _enter(bool stepped) internal returns (uint16 current, uint16 target) {
        Terms memory none;
        vm.prank(address(registry));
        try vocabulary.enter(stepped, none, "") returns (Era memory e) {
            return (e.version, e.target);
        } catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IVocabulary.WrongTerms.selector, "not for want of terms");
            Terms memory wanted = _wanted(reason);
            vm.prank(address(registry));
            Era memory era = vocabulary.enter(stepped, wanted, "");
            (current, target) = (era.version, era.target);
        }
    }

    // --- version 0 ---

    function test_version_0_is_what_the_network_was_deployed_with() public view {
        IVocabulary.Version memory v = vocabulary.versionOf(0);
        vm.assertEq(v.terms, keccak256(abi.encode(_firstTerms())));
        (bytes32 programHash, bytes32 dataRoot) = vocabulary.terms();
        vm.assertEq(programHash, keccak256("program"));
        vm.assertEq(dataRoot, keccak256("data"));
        vm.assertEq(v.size, 264);
        vm.assertEq(v.parent, 0);
        vm.assertEq(v.proposer, address(0));
        vm.assertEq(vocabulary.count(), 1);
        _assertPlace(0, 0);
    }

    function test_revert_no_such_version() public {
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NoSuchVersion.selector, 1));
        vocabulary.versionOf(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NoSuchVersion.selector, 1));
        vocabulary.claimReward(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NoSuchVersion.selector, 0));
        vocabulary.claimReward(0);
    }

    // --- merges ---

    function test_size_of_many_changes() public view {
        for (uint256 count = 1; count < 20; ++count) {
            vm.assertEq(vocabulary.check(_change(0, _merges(count))), 264 + count);
        }
        vm.assertEq(vocabulary.check(_change(0, _merges(1000))), 1264);
    }

    function _refused(bytes memory merges, bytes memory reason) internal {
        vm.expectRevert(reason);
        vocabulary.check(_change(0, merges));
    }

    function test_revert_wrong_merges() public {
        _refused("", abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 0));
        _refused(new bytes(7), abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 7));
        _refused(abi.encodePacked(_merges(2), hex"00"), abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 17));
        _refused(_merges(1001), abi.encodeWithSelector(IVocabulary.WrongMerges.selector, 8008));
    }

    function test_revert_unknown_tokens() public {
        bytes memory good = _merge(65, 66, 1001);
        for (uint256 id = 256; id < 264; ++id) {
            bytes memory reason = abi.encodeWithSelector(IVocabulary.UnknownToken.selector, 1);
            _refused(abi.encodePacked(good, _merge(id, 66, 2000)), reason);
            _refused(abi.encodePacked(good, _merge(66, id, 2000)), reason);
        }
        // A merge may join the one before it, but not itself.
        vocabulary.check(_change(0, abi.encodePacked(good, _merge(264, 264, 2000))));
        _refused(
            abi.encodePacked(good, _merge(264, 265, 2000)), abi.encodeWithSelector(IVocabulary.UnknownToken.selector, 1)
        );
        _refused(_merge(264, 1, 2000), abi.encodeWithSelector(IVocabulary.UnknownToken.selector, 0));
        _refused(_merge(1, 65_535, 2000), abi.encodeWithSelector(IVocabulary.UnknownToken.selector, 0));
    }

    function test_revert_too_rare() public {
        _refused(
            abi.encodePacked(_merge(1, 2, 1001), _merge(2, 3, 1000)),
            abi.encodeWithSelector(IVocabulary.TooRare.selector, 1, 1000)
        );
        _refused(_merge(1, 2, 0), abi.encodeWithSelector(IVocabulary.TooRare.selector, 0, 0));
    }

    function test_revert_stale_change() public {
        Change memory change = _change(1, _merges(1));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 1, 0));
        vocabulary.check(change);
        _activate(_change(0, _merges(1)));
        // Under way, neither version takes another change.
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 1, 0));
        vocabulary.check(change);
        change.parent = 0;
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        vocabulary.check(change);
    }

    // --- activation ---

    function test_activate() public {
        Change memory change = _change(0, _merges(3));
        bytes32 terms = keccak256(abi.encode(_termsOf(change)));
        vm.expectEmit(address(vocabulary));
        emit IVocabulary.Activated(1, 0, carol, terms);
        Motion memory motion = Motion(terms, 0, 267, carol);
        vm.prank(address(governor));
        vm.assertEq(vocabulary.activate(motion), 1);
        IVocabulary.Version memory v = vocabulary.versionOf(1);
        vm.assertEq(v.terms, terms);
        vm.assertEq(v.parent, 0);
        vm.assertEq(v.size, 267);
        vm.assertEq(v.activatedAt, time);
        vm.assertEq(v.proposer, carol);
        vm.assertFalse(v.contested);
        vm.assertEq(vocabulary.count(), 2);
        vm.assertFalse(v.paid);
        vm.assertEq(emission.accruedOf(carol), 0);
        _assertPlace(0, 1);
    }

    function test_a_reward_is_claimed_once_by_anyone_for_the_proposer() public {
        _activate(_change(0, _merges(3)));
        vm.prank(bob);
        vocabulary.claimReward(1);
        vm.assertEq(emission.accruedOf(carol), 5 * NEURO);
        vm.assertTrue(vocabulary.versionOf(1).paid);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.AlreadyPaid.selector, 1));
        vocabulary.claimReward(1);
        vm.prank(carol);
        emission.collect();
    }

    function test_a_round_goes_from_version_to_version() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        vm.expectEmit(address(registry));
        bytes32 randomness = keccak256(abi.encodePacked(block.prevrandao, blockhash(block.number - 1), uint64(1)));
        emit IWorkRegistry.RoundOpened(
            1, keccak256("genesis"), randomness, uint64(time), uint64(time + TRAIN_TIME), 0, 1
        );
        registry.openRoundWith(_termsOf(change));
        IWorkRegistry.Round memory r = registry.roundOf(1);
        vm.assertEq(r.version, 0);
        vm.assertEq(r.target, 1);
        vm.assertEq(r.terms, keccak256(abi.encode(change.growHash, keccak256("data"), keccak256("genesis"), 6)));
        Claim memory c = _train(alice, 3);
        vm.assertEq(c.programHash, change.growHash);
        _step("grown");
        _assertPlace(0, 1);
        vm.expectEmit(address(vocabulary));
        emit IVocabulary.Entered(1);
        registry.openRoundWith(_termsOf(change));
        _assertPlace(1, 1);
        c = _train(alice, 3);
        vm.assertEq(c.programHash, change.programHash);
        vm.assertEq(c.dataRoot, change.dataRoot);
        _step("trained");
    }

    function test_a_transition_that_nobody_sums_up_is_tried_again() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        for (uint256 i = 0; i < 3; ++i) {
            _open(); // the terms are wanted once
            vm.assertEq(registry.roundOf(registry.currentRound()).target, 1);
            _assertPlace(0, 1);
            _afterWindow();
        }
        _round("grown");
        _open();
        _assertPlace(1, 1);
    }

    function test_revert_claim_with_another_versions_terms() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        _open();
        Claim memory c = _train(alice, 3);
        bytes32[3] memory wrong = [keccak256("program"), change.programHash, change.shrinkHash];
        for (uint256 i = 0; i < 3; ++i) {
            c.programHash = wrong[i];
            vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongProgram.selector, wrong[i], change.growHash));
            vm.prank(alice);
            registry.post(c);
        }
        c = _train(alice, 3);
        c.dataRoot = change.dataRoot;
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongData.selector, change.dataRoot, keccak256("data")));
        vm.prank(alice);
        registry.post(c);
    }

    function test_revert_a_round_of_another_version_without_its_terms() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        bytes memory reason = abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 1);
        vm.expectRevert(reason);
        registry.openRound();
        vm.expectRevert(reason);
        registry.openRoundWith(_firstTerms());
        Terms memory supplied = _termsOf(change);
        supplied.growHash = keccak256("another");
        vm.expectRevert(reason);
        registry.openRoundWith(supplied);
        registry.openRoundWith(_termsOf(change));
        // The way back to version 0 needs those of version 0, which are the deployment's own.
        _rollback(1);
        _afterWindow();
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.WrongTerms.selector, 0));
        registry.openRoundWith(_termsOf(change));
        registry.openRoundWith(_firstTerms());
        _assertPlace(0, 0);
    }

    function test_terms_of_an_unchanged_round_are_not_looked_at() public {
        _round("one");
        registry.openRoundWith(Terms(0, 0, 0, 0, 0));
        (bytes32 programHash, bytes32 dataRoot) = vocabulary.terms();
        vm.assertEq(programHash, keccak256("program"));
        vm.assertEq(dataRoot, keccak256("data"));
    }

    function test_base_is_the_settled_version() public {
        (uint16 version, uint16 size) = vocabulary.base();
        vm.assertEq(version, 0);
        vm.assertEq(size, 264);
        _activate(_change(0, _merges(3)));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.Unsettled.selector, 0, 1));
        vocabulary.base();
        _round("grown");
        _open();
        (version, size) = vocabulary.base();
        vm.assertEq(version, 1);
        vm.assertEq(size, 267);
    }

    // --- rollback ---

    function test_rollback_before_the_transition_goes_nowhere() public {
        _activate(_change(0, _merges(3)));
        vm.expectEmit(address(vocabulary));
        emit IVocabulary.RolledBack(1, 0);
        _rollback(1);
        vm.assertEq(staking.activeOf(carol), STAKE - 100 * NEURO);
        vm.assertEq(staking.creditOf(address(0)), 0);
        _open();
        _assertPlace(0, 0);
        vm.assertEq(_train(alice, 3).programHash, keccak256("program"));
    }

    function test_rollback_after_the_transition_leads_back() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        _round("grown");
        _open();
        _rollback(1);
        _step("trained");
        _open();
        _assertPlace(1, 0);
        Claim memory c = _train(alice, 3);
        vm.assertEq(c.programHash, change.shrinkHash);
        vm.assertEq(c.dataRoot, change.dataRoot);
        _step("shrunk");
        _open();
        _assertPlace(0, 0);
        vm.assertEq(_train(alice, 3).programHash, keccak256("program"));
    }

    /// @dev The running round's outer step grows the model though its version has been taken back meanwhile.
    function test_rollback_in_the_round_of_the_transition() public {
        Change memory change = _change(0, _merges(3));
        _activate(change);
        _open();
        _rollback(1);
        _step("grown");
        _open();
        _assertPlace(1, 0);
        vm.assertEq(_train(alice, 3).programHash, change.shrinkHash);
        _step("shrunk");
        _open();
        _assertPlace(0, 0);
    }

    function test_rollback_in_a_round_of_the_transition_that_fails() public {
        _activate(_change(0, _merges(3)));
        _open();
        _rollback(1);
        _afterWindow();
        _open();
        _assertPlace(0, 0);
        vm.assertEq(_train(alice, 3).programHash, keccak256("program"));
    }

    function test_revert_change_while_a_taken_back_transition_may_still_happen() public {
        _activate(_change(0, _merges(3)));
        _open();
        _rollback(1);
        _assertPlace(0, 0);
        Change memory change = _change(0, _merges(4));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.StaleChange.selector, 0, 0));
        vocabulary.check(change);
        _afterWindow();
        _open();
        vm.assertEq(_activate(change), 2);
    }

    function test_two_versions_are_taken_back_one_by_one() public {
        _activate(_change(0, _merges(3)));
        _round("one");
        _open();
        _activate(_change(1, _merges(2)));
        _step("still one");
        _round("two");
        _open();
        _assertPlace(2, 2);
        _rollback(2);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 1));
        _rollback(1);
        _step("two again");
        _round("back to one");
        _open();
        _assertPlace(1, 1);
        _rollback(1);
        _step("one again");
        _round("back to none");
        _open();
        _assertPlace(0, 0);
    }

    function test_a_branch_takes_the_place_of_what_was_taken_back() public {
        _activate(_change(0, _merges(3)));
        _rollback(1);
        vm.assertEq(_activate(_change(0, _merges(5))), 2);
        vm.assertEq(vocabulary.versionOf(2).size, 269);
        _round("grown");
        _open();
        _assertPlace(2, 2);
    }

    function test_revert_rollback() public {
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 0));
        _rollback(0);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 1));
        _rollback(1);
        _activate(_change(0, _merges(3)));
        _rollback(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 1));
        _rollback(1);
    }

    function test_contest_once() public {
        vm.startPrank(address(emergency));
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 0));
        vocabulary.contest(0);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotRevocable.selector, 1));
        vocabulary.contest(1);
        vm.stopPrank();
        _activate(_change(0, _merges(3)));
        vm.startPrank(address(emergency));
        vocabulary.contest(1);
        vm.assertTrue(vocabulary.versionOf(1).contested);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.AlreadyContested.selector, 1));
        vocabulary.contest(1);
        vm.stopPrank();
    }

    // --- whoever may call ---

    function test_revert_strangers() public {
        Motion memory motion = _motion(_change(0, _merges(1)), alice);
        bytes memory reason = abi.encodeWithSelector(IVocabulary.OnlyGovernor.selector, address(this));
        vm.expectRevert(reason);
        vocabulary.lockBond(alice);
        vm.expectRevert(reason);
        vocabulary.freeBond(alice);
        vm.expectRevert(reason);
        vocabulary.activate(motion);
        reason = abi.encodeWithSelector(IVocabulary.OnlyEmergency.selector, address(this));
        vm.expectRevert(reason);
        vocabulary.contest(1);
        vm.expectRevert(reason);
        vocabulary.rollback(1);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.OnlyRegistry.selector, address(this)));
        vocabulary.enter(true, _firstTerms(), "");
        vm.expectRevert(abi.encodeWithSelector(IVocabularyGovernor.OnlyVocabulary.selector, address(this)));
        governor.forfeit(carol);
    }

    function test_revert_vocabulary_at_another_address() public {
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.NotVocabulary.selector, address(vocabulary)));
        new Vocabulary(registry, address(governor), address(emergency), address(growths));
    }

    function test_bonds() public {
        vm.startPrank(address(governor));
        vocabulary.lockBond(alice);
        vm.assertEq(_lockedOf(alice), 100 * NEURO);
        vocabulary.freeBond(alice);
        vm.assertEq(_lockedOf(alice), 0);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        vocabulary.lockBond(address(this));
        vm.stopPrank();
    }

    // --- every interleaving ---

    /// @dev `actual` is the version that the model is really in: an outer step takes it to where its round was to lead.
    function testFuzz_rounds_name_the_version_that_the_model_is_in(uint256 seed) public {
        uint16 actual = 0;
        uint16 leads = 0;
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 kind = seed % 4;
            (, uint16 target) = vocabulary.state();
            if (kind == 0) {
                bool stepped = seed & 16 == 0;
                if (stepped) actual = leads;
                uint16 current;
                (current, leads) = _enter(stepped);
                vm.assertEq(current, actual, "the version that the model is in");
                _assertTerms(current, leads);
            } else if (kind == 1) {
                _tryActivate(_change(actual, _merges(1 + seed % 3)));
            } else {
                _tryRollback(target);
            }
        }
    }

    /// @dev What the newest round's claims name is what the versions' own terms say.
    function _assertTerms(uint16 current, uint16 target) private view {
        (bytes32 programHash, bytes32 dataRoot) = vocabulary.terms();
        Terms memory here = _termsAt(current);
        Terms memory there = _termsAt(target);
        bool grows = target != current && vocabulary.versionOf(target).parent == current;
        bytes32 expected = target == current ? here.programHash : grows ? there.growHash : here.shrinkHash;
        vm.assertEq(programHash, expected);
        vm.assertEq(dataRoot, here.dataRoot);
    }

    function _tryActivate(Change memory change) private {
        try this.activateAs(change, carol) returns (uint16 version) {
            vm.assertEq(vocabulary.versionOf(version).parent, change.parent, "its parent");
        } catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IVocabulary.StaleChange.selector);
        }
    }

    function activateAs(Change memory change, address proposer) external returns (uint16) {
        return _activate(change, proposer);
    }

    function _tryRollback(uint16 version) private {
        vm.prank(address(emergency));
        try vocabulary.rollback(version) {
            (, uint16 target) = vocabulary.state();
            vm.assertEq(target, vocabulary.versionOf(version).parent, "back to the parent");
        } catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IVocabulary.NotRevocable.selector);
        }
    }
}
