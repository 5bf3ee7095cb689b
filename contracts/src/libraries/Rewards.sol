// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Rewards
/// @notice What a final claim earns, in integers; economics/rewards.py is the same formula in the same order.
library Rewards {
    uint256 internal constant ONE = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @notice Wei of NEURO per batch per layer.
    uint256 internal constant BASE = 0.0005e18;
    /// @notice The same in a late claim, times {lateFreshness}.
    uint256 internal constant LATE_BASE = 0.0003e18;
    /// @notice 1 + 0.1 training, then 0.2 for the embedding and 0.3 for the head.
    uint256 internal constant TRAINING_BPS = 11_000;
    uint256 internal constant EMBEDDING_BPS = 2000;
    uint256 internal constant HEAD_BPS = 3000;
    /// @notice Of a node alone, which holds all layers and trains.
    uint256 internal constant ROLE_BPS = TRAINING_BPS + EMBEDDING_BPS + HEAD_BPS;
    uint256 internal constant STAKE_SLOPE = 0.1e18;
    uint256 internal constant STAKE_UNIT = 1000;
    uint256 internal constant STAKE_MAX = 1.5e18;
    uint256 internal constant REPUTATION_SLOPE = 0.1e18;
    uint256 internal constant REPUTATION_FULL = 100;
    uint256 internal constant SCARCITY_SLOPE = 0.5e18;
    /// @notice Least weight of an update in the outer step, in units of 1e-4.
    uint256 internal constant UPDATE_WEIGHT_MIN = 1000;
    /// @notice Most wei a claim may earn.
    uint256 internal constant CLAIM_CAP = 100e18;

    /// @notice Weight of an update of `steps` steps in the outer step: their square root times {updateFreshness}, in units of 1e-4.
    /// @param age Seconds from the opening of the round that the work began in to that of the claim's; 0 on time.
    function updateWeight(uint256 steps, uint256 age) internal pure returns (uint256) {
        return Math.max(Math.sqrt(steps * BPS * BPS) * updateFreshness(age) / BPS, UPDATE_WEIGHT_MIN);
    }

    /// @notice What an update counts by its age in seconds, in basis points.
    function updateFreshness(uint256 age) internal pure returns (uint256) {
        if (age < 1 minutes) return BPS;
        if (age < 1 hours) return 9000;
        return age < 1 days ? 7000 : 3000;
    }

    /// @notice What a late claim is paid by its age in seconds, in basis points.
    function lateFreshness(uint256 age) internal pure returns (uint256) {
        if (age < 1 hours) return BPS;
        if (age < 1 days) return 7000;
        return age < 1 weeks ? 5000 : 3000;
    }

    /// @notice Reward in wei of one claim; every division rounds down.
    /// @param batches Batches trained.
    /// @param layers Layers held.
    /// @param stake The node's active stake in wei.
    /// @param finals The node's final TRAIN claims since its last lost claim.
    /// @param scarcity 0 to 1e18.
    /// @param age See {updateWeight}; 0 of a claim on time.
    function claimReward(uint256 batches, uint256 layers, uint256 stake, uint256 finals, uint256 scarcity, uint256 age)
        internal
        pure
        returns (uint256 reward)
    {
        uint256 base = age == 0 ? BASE : LATE_BASE * lateFreshness(age) / BPS;
        reward = _share(base, batches, layers, ROLE_BPS, stake);
        reward = reward * (ONE + REPUTATION_SLOPE * Math.min(finals, REPUTATION_FULL) / REPUTATION_FULL) / ONE;
        reward = reward * (ONE + SCARCITY_SLOPE * scarcity / ONE) / ONE;
        reward = Math.min(reward, CLAIM_CAP);
    }

    /// @notice What a member of a quorum earns in one claim, before the claim's cap.
    /// @param role See {roleBps}.
    function memberShare(uint256 batches, uint256 layers, uint256 role, uint256 stake)
        internal
        pure
        returns (uint256 share)
    {
        share = _share(BASE, batches, layers, role, stake);
    }

    /// @notice The role multiplier of whoever trains, and may hold the embedding and the head.
    function roleBps(bool embedding, bool head) internal pure returns (uint256 role) {
        role = TRAINING_BPS;
        if (embedding) role += EMBEDDING_BPS;
        if (head) role += HEAD_BPS;
    }

    /// @notice 1 + 0.1 * log2(1 + stake / 1000 NEURO), at most 1.5, in 1e18 fixed point.
    function stakeMultiplier(uint256 stake) internal pure returns (uint256) {
        uint256 log = log2Q64(((ONE + stake / STAKE_UNIT) << 64) / ONE);
        return Math.min(ONE + ((log * STAKE_SLOPE) >> 64), STAKE_MAX);
    }

    /// @notice Binary logarithm with 64 fractional bits, bit by bit by squaring the mantissa.
    /// @param y Q64 number, at least 1 (2^64).
    function log2Q64(uint256 y) internal pure returns (uint256 log) {
        uint256 n = Math.log2(y) - 64;
        uint256 z = y >> n;
        log = n << 64;
        // z stays below 2^65, so its square fits; without overflow checks the 64 rounds cost a third.
        unchecked {
            for (uint256 bit = 1 << 63; bit != 0; bit >>= 1) {
                z = (z * z) >> 64;
                if (z >= 2 << 64) {
                    log |= bit;
                    z >>= 1;
                }
            }
        }
    }

    function _share(uint256 base, uint256 batches, uint256 layers, uint256 role, uint256 stake)
        private
        pure
        returns (uint256 share)
    {
        share = base * batches * layers * role / BPS;
        share = share * stakeMultiplier(stake) / ONE;
    }
}
