// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { WorkRegistry } from "../../src/WorkRegistry.sol";
import { Staking } from "../../src/Staking.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Fixture } from "../utils/Fixture.sol";

contract DeploymentTest is Fixture {
    function test_the_four_contracts_name_each_other() public view {
        vm.assertEq(token.minter(), address(emission));
        vm.assertEq(address(staking.token()), address(token));
        vm.assertEq(staking.registry(), address(registry));
        vm.assertEq(address(emission.token()), address(token));
        vm.assertEq(emission.registry(), address(registry));
        vm.assertEq(registry.globalRoot(), keccak256("genesis"));
    }

    function test_revert_registry_at_another_address() public {
        IWorkRegistry.Parameters memory p = _config().parameters;
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.Miswired.selector, address(registry)));
        new WorkRegistry(staking, emission, p);
    }

    function test_revert_emission_of_another_registry() public {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        Staking other = new Staking(token, next, address(0), address(0), address(0), MINIMUM, THAW);
        IWorkRegistry.Parameters memory p = _config().parameters;
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.Miswired.selector, address(registry)));
        new WorkRegistry(other, emission, p);
    }

    /// @dev Deploys from a contract of its own, so that a failed creation leaves the nonces of the next try alone.
    function deployWith(Config memory c) external {
        _deploy(address(this), c);
    }

    function test_revert_parameters_that_must_be_positive() public {
        for (uint256 i = 0; i < 7; ++i) {
            Config memory c = _config();
            if (i == 0) c.parameters.maxSteps = 0;
            if (i == 1) c.parameters.layers = 0;
            if (i == 2) c.parameters.claimBond = 0;
            if (i == 3) c.parameters.challengeBond = 0;
            if (i == 4) c.parameters.trainTime = 0;
            if (i == 5) c.parameters.window = 0;
            if (i == 6) c.parameters.responseTime = 0;
            vm.expectRevert(IRegistryErrors.BadParameters.selector);
            this.deployWith(c);
        }
    }
}
