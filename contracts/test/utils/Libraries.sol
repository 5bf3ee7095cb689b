// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { Rfc9162 } from "../../src/libraries/Rfc9162.sol";

/// @title Libraries
/// @notice The libraries behind external functions, so that tests in any language can call them.
contract Libraries {
    function structHash(Claim calldata claim) external pure returns (bytes32) {
        return ClaimLib.structHash(claim);
    }

    function leafHash(bytes calldata data) external pure returns (bytes32) {
        return Rfc9162.leafHash(data);
    }

    function traceLeaf(bytes32 stateRoot, bytes32 batchRoot, uint32 lossBits, uint32 step)
        external
        pure
        returns (bytes32)
    {
        return Rfc9162.traceLeaf(stateRoot, batchRoot, lossBits, step);
    }

    function verifyInclusion(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Rfc9162.verifyInclusion(root, leaf, index, size, proof);
    }

    function claimReward(uint256 batches, uint256 layers, uint256 stake, uint256 finals, uint256 scarcity, uint256 age)
        external
        pure
        returns (uint256)
    {
        return Rewards.claimReward(batches, layers, stake, finals, scarcity, age);
    }

    function updateWeight(uint256 steps, uint256 age) external pure returns (uint256) {
        return Rewards.updateWeight(steps, age);
    }

    function stakeMultiplier(uint256 stake) external pure returns (uint256) {
        return Rewards.stakeMultiplier(stake);
    }

    function log2Q64(uint256 y) external pure returns (uint256) {
        return Rewards.log2Q64(y);
    }
}
