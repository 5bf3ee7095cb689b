// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { IEmergencyGovernor } from "../../src/interfaces/IEmergencyGovernor.sol";
import { IVocabulary } from "../../src/interfaces/IVocabulary.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice Every verb of the emergency governor, and every revert.
contract EmergencyTest is GovernanceFixture {
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
        // The bond was still locked: what was slashed stands behind nothing any more.
        vm.assertEq(_lockedOf(carol), 0);
        vm.assertEq(governor.bondOf(carol), 0);
        vm.expectRevert(_unexpected(id, IGovernor.ProposalState.Executed, IGovernor.ProposalState.Succeeded));
        emergency.executeRollback(version);
    }

    function test_the_bond_reaches_stake_that_thaws() public {
        uint16 version = _activated(carol, _change());
        governor.releaseBond(carol);
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
}
