// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Change } from "../../src/interfaces/IVocabulary.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice What a change of the vocabulary costs, whole transactions, written to contracts/snapshots/governance.json. One
/// merge, and as many as a change may hold: merges are data, checked and hashed once, when they are proposed.
contract GovernanceGasTest is GovernanceFixture {
    function test_gas_one_merge() public {
        _course(1, "_1");
    }

    function test_gas_a_thousand_merges() public {
        _course(1000, "_1000");
    }

    function _course(uint256 merges, string memory suffix) private {
        Change memory change = _change(0, _merges(merges));
        _bond(carol, change);
        _record("bond", suffix);
        uint256 id = _submit(carol, change);
        _record("propose", suffix);
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _record("vote_reaching_quorum", suffix);
        _vote(bob, id, FOR);
        _record("vote", suffix);
        _skip(VOTE);
        _queue(change, carol);
        _record("queue", suffix);
        _skip(GRACE);
        _execute(change, carol);
        _record("execute", suffix);
        vocabulary.claimReward(1);
        _record("claim_reward", suffix);
        governor.releaseBond(carol);
        _record("withdraw_bond", suffix);
        registry.openRoundWith(_termsOf(change));
        _record("open_transition", suffix);
        vm.prank(bob);
        uint256 back = emergency.proposeRollback(1, "");
        _record("propose_rollback", suffix);
        _skip(1);
        vm.prank(bob);
        emergency.castVote(back, FOR);
        _skip(EMERGENCY);
        emergency.executeRollback(1);
        _record("execute_rollback", suffix);
        _afterWindow();
        registry.openRoundWith(_firstTerms()); // nobody trained: the transition did not take place
        _record("open_after_rollback", suffix);
        _bond(carol, _change(0, _merges(merges + 1)));
        _record("bond_again", suffix);
    }

    function _record(string memory verb, string memory suffix) private {
        vm.snapshotGasLastCall("governance", string.concat(verb, suffix));
    }
}
