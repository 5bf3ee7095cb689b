// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "../src/interfaces/IEmission.sol";
import { IWorkRegistry } from "../src/interfaces/IWorkRegistry.sol";
import { Deployment } from "./Deployment.sol";
import { vm } from "./Vm.sol";

/// @title Deploy
/// @notice Deploys a network whose numbers stand in a JSON file, with fields named as in {Deployment}, all at top level.
/// @dev forge script contracts/script/Deploy.s.sol --sig "run(string)" FILE --rpc-url URL --broadcast --account NAME
contract Deploy is Deployment {
    using SafeCast for uint256;

    bool public constant IS_SCRIPT = true;

    /// @param path JSON file below the project's root.
    function run(string calldata path) external returns (System memory system) {
        Config memory config = _read(vm.readFile(path));
        vm.startBroadcast();
        system = _deploy(msg.sender, config);
        vm.stopBroadcast();
    }

    function _read(string memory json) private pure returns (Config memory c) {
        c.genesisHolder = vm.parseJsonAddress(json, ".genesisHolder");
        c.genesisSupply = vm.parseJsonUint(json, ".genesisSupply");
        c.supplyCap = vm.parseJsonUint(json, ".supplyCap");
        c.minimumStake = vm.parseJsonUint(json, ".minimumStake");
        c.thawPeriod = vm.parseJsonUint(json, ".thawPeriod").toUint64();
        c.schedule = IEmission.Schedule({
            epochLength: vm.parseJsonUint(json, ".epochLength").toUint64(),
            dayLength: vm.parseJsonUint(json, ".dayLength").toUint64(),
            halvingEpochs: vm.parseJsonUint(json, ".halvingEpochs").toUint64(),
            epochCap: vm.parseJsonUint(json, ".epochCap"),
            nodeDayCap: vm.parseJsonUint(json, ".nodeDayCap")
        });
        c.parameters = _readParameters(json);
        c.extension = vm.parseJsonUint(json, ".extension").toUint64();
    }

    function _readParameters(string memory json) private pure returns (IWorkRegistry.Parameters memory) {
        return IWorkRegistry.Parameters({
            programHash: vm.parseJsonBytes32(json, ".programHash"),
            dataRoot: vm.parseJsonBytes32(json, ".dataRoot"),
            genesisRoot: vm.parseJsonBytes32(json, ".genesisRoot"),
            judge: address(0),
            tokensPerStep: vm.parseJsonUint(json, ".tokensPerStep").toUint64(),
            layers: vm.parseJsonUint(json, ".layers").toUint16(),
            maxClaims: vm.parseJsonUint(json, ".maxClaims").toUint32(),
            maxSteps: vm.parseJsonUint(json, ".maxSteps").toUint32(),
            trainTime: vm.parseJsonUint(json, ".trainTime").toUint64(),
            window: vm.parseJsonUint(json, ".window").toUint64(),
            responseTime: vm.parseJsonUint(json, ".responseTime").toUint64(),
            claimBond: vm.parseJsonUint(json, ".claimBond"),
            challengeBond: vm.parseJsonUint(json, ".challengeBond")
        });
    }
}
