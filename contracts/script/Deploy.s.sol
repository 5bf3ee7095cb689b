// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "../src/interfaces/IEmission.sol";
import { IWorkRegistry } from "../src/interfaces/IWorkRegistry.sol";
import { Deployment } from "./Deployment.sol";
import { vm } from "./Vm.sol";

/// @title Deploy
/// @notice Deploys a network whose numbers stand in a JSON file, with fields named as in {Deployment}, all at top level.
/// @dev forge script contracts/script/Deploy.s.sol --sig "run(string,string)" FILE OUT --rpc-url URL --broadcast --account NAME
contract Deploy is Deployment {
    using SafeCast for uint256;

    bool public constant IS_SCRIPT = true;

    /// @param path JSON file below the project's root.
    /// @param out Where the deployment file goes that `ponw` reads (`contracts` in its configuration), below contracts/cache.
    function run(string calldata path, string calldata out) external returns (System memory system) {
        Config memory config = _read(vm.readFile(path));
        uint256 first = block.number;
        vm.startBroadcast();
        system = _deploy(msg.sender, config);
        vm.stopBroadcast();
        vm.writeFile(out, _document(first, system));
    }

    /// @dev The format of node/chain/deployment.py.
    function _document(uint256 first, System memory s) private view returns (string memory) {
        return string.concat(
            "{",
            _number("chainId", block.chainid),
            _number("block", first),
            _field("addresses", string.concat("{", _addresses(s), "}")),
            _last("parameters", string.concat("{", _parameters(s.registry.parameters()), "}}"))
        );
    }

    function _addresses(System memory s) private pure returns (string memory) {
        string memory work = string.concat(
            _address("token", address(s.token)),
            _address("staking", address(s.staking)),
            _address("emission", address(s.emission)),
            _address("registry", address(s.registry)),
            _address("scalar", address(s.scalar)),
            _address("judge", address(s.judge))
        );
        return string.concat(
            work,
            _address("vocabulary", address(s.vocabulary)),
            _address("governor", address(s.governor)),
            _address("emergency", address(s.emergency)),
            _address("escrow", address(s.escrow)),
            _address("court", address(s.court)),
            _address("court_judge", address(s.courtJudge)),
            _last("quorums", _quoted(vm.toString(address(s.quorums))))
        );
    }

    function _parameters(IWorkRegistry.Parameters memory p) private pure returns (string memory) {
        string memory work = string.concat(
            _field("program_hash", _quoted(vm.toString(p.programHash))),
            _field("data_root", _quoted(vm.toString(p.dataRoot))),
            _field("genesis_root", _quoted(vm.toString(p.genesisRoot))),
            _address("judge", p.judge),
            _number("tokens_per_step", p.tokensPerStep),
            _number("layers", p.layers),
            _number("max_steps", p.maxSteps),
            _number("max_claims", p.maxClaims)
        );
        return string.concat(
            work,
            _number("train_time", p.trainTime),
            _number("window", p.window),
            _number("response_time", p.responseTime),
            _number("claim_bond", p.claimBond),
            _last("challenge_bond", vm.toString(p.challengeBond))
        );
    }

    function _address(string memory name, address value) private pure returns (string memory) {
        return _field(name, _quoted(vm.toString(value)));
    }

    function _number(string memory name, uint256 value) private pure returns (string memory) {
        return _field(name, vm.toString(value));
    }

    function _field(string memory name, string memory value) private pure returns (string memory) {
        return string.concat(_last(name, value), ", ");
    }

    function _last(string memory name, string memory value) private pure returns (string memory) {
        return string.concat(_quoted(name), ": ", value);
    }

    function _quoted(string memory text) private pure returns (string memory) {
        return string.concat('"', text, '"');
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
        c.votes = Votes({
            discussion: vm.parseJsonUint(json, ".discussion").toUint48(),
            vote: vm.parseJsonUint(json, ".vote").toUint32(),
            voteExtension: vm.parseJsonUint(json, ".voteExtension").toUint48(),
            grace: vm.parseJsonUint(json, ".grace").toUint48(),
            emergency: vm.parseJsonUint(json, ".emergency").toUint32()
        });
        c.progressTime = vm.parseJsonUint(json, ".progressTime").toUint64();
        c.settleTime = vm.parseJsonUint(json, ".settleTime").toUint64();
        c.answerWindow = vm.parseJsonUint(json, ".answerWindow").toUint64();
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
