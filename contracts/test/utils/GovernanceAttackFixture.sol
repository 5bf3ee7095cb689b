// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { GovernanceFixture } from "./GovernanceFixture.sol";

/// @notice The governance fixture with somebody who attacks it.
abstract contract GovernanceAttackFixture is GovernanceFixture {
    address internal immutable mallory = vm.addr(0xBAD);

    function _rich(uint256 amount) internal {
        vm.assertTrue(token.transfer(mallory, amount));
        vm.startPrank(mallory);
        token.approve(address(staking), amount);
        staking.stake(amount);
        vm.stopPrank();
    }

    function _state(uint256 id) internal view returns (IGovernor.ProposalState) {
        return governor.state(id);
    }
}
