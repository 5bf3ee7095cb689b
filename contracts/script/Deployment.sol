// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Emission } from "../src/Emission.sol";
import { Judge } from "../src/Judge.sol";
import { NeuroToken } from "../src/NeuroToken.sol";
import { Scalar } from "../src/Scalar.sol";
import { Staking } from "../src/Staking.sol";
import { WorkRegistry } from "../src/WorkRegistry.sol";
import { IEmission } from "../src/interfaces/IEmission.sol";
import { IWorkRegistry } from "../src/interfaces/IWorkRegistry.sol";
import { vm } from "./Vm.sol";

/// @title Deployment
/// @notice The one order in which the six contracts are deployed; any client that keeps it gets the same addresses.
/// @dev NeuroToken, Staking, Emission, WorkRegistry, Scalar, Judge at the deployer's nonces n to n+5. The token must know
/// Emission (n+2), Staking and Emission the registry (n+3), the registry its judge (n+5), so those addresses are computed
/// first. The deployer keeps no power afterwards: nothing has an owner.
abstract contract Deployment {
    struct Config {
        address genesisHolder;
        uint256 genesisSupply;
        uint256 supplyCap;
        uint256 minimumStake;
        uint64 thawPeriod;
        IEmission.Schedule schedule;
        IWorkRegistry.Parameters parameters;
        uint64 extension;
        address court;
    }

    struct System {
        NeuroToken token;
        Staking staking;
        Emission emission;
        WorkRegistry registry;
        Judge judge;
    }

    /// @param deployer The account whose nonces the creations take.
    /// @param c `court`: where the court of answers will be deployed, or 0. Where `extension` is 0, no judge is deployed: the registry has the one that its parameters name.
    function _deploy(address deployer, Config memory c) internal returns (System memory s) {
        uint256 nonce = vm.getNonce(deployer);
        address emission = vm.computeCreateAddress(deployer, nonce + 2);
        address registry = vm.computeCreateAddress(deployer, nonce + 3);
        s.token = new NeuroToken(emission, c.genesisHolder, c.genesisSupply, c.supplyCap);
        s.staking = new Staking(s.token, registry, address(0), c.court, c.minimumStake, c.thawPeriod);
        s.emission = new Emission(s.token, registry, address(0), c.schedule);
        if (c.extension != 0) c.parameters.judge = vm.computeCreateAddress(deployer, nonce + 5);
        s.registry = new WorkRegistry(s.staking, s.emission, c.parameters);
        if (c.extension != 0) {
            s.judge = new Judge(s.registry, new Scalar(s.registry), c.parameters.responseTime, c.extension);
        }
    }
}
