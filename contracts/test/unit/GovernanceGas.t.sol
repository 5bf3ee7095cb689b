// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Change } from "../../src/interfaces/IVocabulary.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice What a change of the vocabulary costs, whole transactions, written to contracts/snapshots/governance.json. One
/// merge, and as many as a change may hold: merges are data, checked and hashed on chain.
contract GovernanceGasTest is GovernanceFixture {
    function test_gas_one_merge() public {
        _course(1, "_1");
    }

    function test_gas_a_thousand_merges() public {
        _course(1000, "_1000");
    }

    function _course(uint256 merges, string memory suffix) private {
        Change memory change = _change(0, _merges(merges));
        uint256 id = _propose(carol, change);
        _record("propose", suffix);
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _record("vote_reaching_quorum", suffix);
        _vote(bob, id, FOR);
        _record("vote", suffix);
        _skip(VOTE);
        governor.queueChange(change, carol, URI);
        _record("queue", suffix);
        _skip(GRACE);
        governor.executeChange(change, carol, URI);
        _record("execute", suffix);
        registry.openRound();
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
    }

    function _record(string memory verb, string memory suffix) private {
        vm.snapshotGasLastCall("governance", string.concat(verb, suffix));
    }
}
