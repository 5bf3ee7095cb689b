// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IVotes } from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import { vm } from "../../script/Vm.sol";
import { Change } from "../../src/interfaces/IVocabulary.sol";
import { BareGovernor, BareVersions } from "../utils/BareGovernor.sol";
import { GovernanceFixture } from "../utils/GovernanceFixture.sol";

/// @notice What the same change costs in OpenZeppelin's Governor alone, in the same run as {GovernanceGasTest}.
contract GovernanceBareGasTest is GovernanceFixture {
    function test_gas_bare_governor() public {
        BareGovernor bare = new BareGovernor(IVotes(address(staking)));
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _storing(_change(0, _merges(1)));
        vm.prank(carol);
        uint256 id = bare.propose(targets, values, calls, URI);
        vm.snapshotGasLastCall("governance", "bare_propose_1");
        _skip(2);
        vm.prank(alice);
        bare.castVote(id, FOR);
        vm.snapshotGasLastCall("governance", "bare_vote_1");
        _skip(1 hours);
        bare.execute(targets, values, calls, keccak256(bytes(URI)));
        vm.snapshotGasLastCall("governance", "bare_execute_1");
    }

    function _storing(Change memory change)
        private
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calls)
    {
        (targets, values, calls) = (new address[](1), new uint256[](1), new bytes[](1));
        targets[0] = address(new BareVersions());
        calls[0] = abi.encodeCall(
            BareVersions.store,
            (BareVersions.Version({
                    root: sha256(change.merges),
                    programHash: change.programHash,
                    growHash: change.growHash,
                    shrinkHash: change.shrinkHash,
                    dataRoot: change.dataRoot,
                    parent: change.parent,
                    size: 257,
                    activatedAt: uint48(block.timestamp),
                    contested: false,
                    proposer: carol
                }))
        );
    }
}
