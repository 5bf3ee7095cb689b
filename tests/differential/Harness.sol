// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Claim, ClaimLib } from "contracts/src/libraries/ClaimLib.sol";
import { Rewards } from "contracts/src/libraries/Rewards.sol";
import { Rfc9162 } from "contracts/src/libraries/Rfc9162.sol";
import { Rules } from "contracts/src/libraries/Rules.sol";

/// @title Harness
/// @notice Gives the production libraries many cases in one call, so that a thousand can be compared in seconds.
contract Harness is EIP712("ponw", "1") {
    struct Step {
        bytes32 stateRoot;
        bytes32 batchRoot;
        uint32 lossBits;
        uint32 step;
    }

    struct Opening {
        bytes32 root;
        bytes32 leaf;
        uint256 index;
        uint256 size;
        bytes32[] proof;
    }

    struct Work {
        uint256 batches;
        uint256 layers;
        uint256 stake;
        uint256 finals;
        uint256 scarcity;
        uint256 age;
    }

    function traceLeaves(Step[] calldata cases) external pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](cases.length);
        for (uint256 i = 0; i < cases.length; i++) {
            Step calldata c = cases[i];
            hashes[i] = Rfc9162.traceLeaf(c.stateRoot, c.batchRoot, c.lossBits, c.step);
        }
    }

    function leaves(bytes[] calldata cases) external pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](cases.length);
        for (uint256 i = 0; i < cases.length; i++) {
            hashes[i] = Rfc9162.leafHash(cases[i]);
        }
    }

    function inclusions(Opening[] calldata cases) external view returns (bool[] memory accepted) {
        accepted = new bool[](cases.length);
        for (uint256 i = 0; i < cases.length; i++) {
            Opening calldata c = cases[i];
            accepted[i] = Rfc9162.verifyInclusion(c.root, c.leaf, c.index, c.size, c.proof);
        }
    }

    function claims(Claim[] calldata cases) external view returns (bytes32[] memory structs, bytes32[] memory digests) {
        structs = new bytes32[](cases.length);
        digests = new bytes32[](cases.length);
        for (uint256 i = 0; i < cases.length; i++) {
            structs[i] = ClaimLib.structHash(cases[i]);
            digests[i] = _hashTypedDataV4(structs[i]);
        }
    }

    function rewards(Work[] calldata cases) external pure returns (uint256[] memory amounts) {
        amounts = new uint256[](cases.length);
        for (uint256 i = 0; i < cases.length; i++) {
            Work calldata c = cases[i];
            amounts[i] = Rewards.claimReward(c.batches, c.layers, c.stake, c.finals, c.scarcity, c.age);
        }
    }

    function weights(uint256[] calldata steps, uint256[] calldata ages) external pure returns (uint256[] memory) {
        uint256[] memory all = new uint256[](steps.length);
        for (uint256 i = 0; i < steps.length; i++) {
            all[i] = Rewards.updateWeight(steps[i], ages[i]);
        }
        return all;
    }

    function votes() external pure returns (uint256[8] memory) {
        return [
            Rules.PROPOSAL_STAKE,
            Rules.PROPOSAL_REWARD,
            Rules.MERGES_MAX,
            Rules.FREQUENCY,
            Rules.APPROVAL_BPS,
            Rules.QUORUM_BPS,
            Rules.EMERGENCY_BPS,
            Rules.BASE_SIZE
        ];
    }

    function constants() external pure returns (uint256[10] memory) {
        return [
            Rewards.BASE,
            Rewards.LATE_BASE,
            Rewards.ROLE_BPS,
            Rewards.STAKE_SLOPE,
            Rewards.STAKE_UNIT,
            Rewards.STAKE_MAX,
            Rewards.REPUTATION_SLOPE,
            Rewards.SCARCITY_SLOPE,
            Rewards.CLAIM_CAP,
            Rules.LATE_ROUNDS
        ];
    }
}
