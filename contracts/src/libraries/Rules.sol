// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Rules
/// @notice Numbers of votes about the vocabulary and the depth, and of late claims, that every network keeps; economics/constants.py has the same ones.
library Rules {
    uint256 internal constant BPS = 10_000;
    /// @notice Wei locked while a proposal is open, slashed when its version is taken back.
    uint256 internal constant PROPOSAL_STAKE = 100e18;
    /// @notice Wei for the proposer of an activated version.
    uint256 internal constant PROPOSAL_REWARD = 5e18;
    /// @notice Most merges of one change.
    uint256 internal constant MERGES_MAX = 1000;
    /// @notice A merge must be seen more often than this.
    uint256 internal constant FREQUENCY = 1000;
    /// @notice Votes for, of those for and against.
    uint256 internal constant APPROVAL_BPS = 6600;
    /// @notice Votes cast, of all active stake.
    uint256 internal constant QUORUM_BPS = 3000;
    /// @notice Votes that open an emergency vote, of all active stake.
    uint256 internal constant EMERGENCY_BPS = 1000;
    /// @notice Rows of version 0: 256 bytes and 8 special tokens.
    uint256 internal constant BASE_SIZE = 264;
    /// @notice The first special token; no merge joins one.
    uint256 internal constant FIRST_SPECIAL = 256;
    /// @notice Fewest layers that a growth adds.
    uint16 internal constant GROWTH_LAYERS_MIN = 3;
    /// @notice Of the layers there are, most that a growth adds, though never fewer than the least.
    uint256 internal constant GROWTH_SHARE_BPS = 5000;
    /// @notice Layers that no model has more than.
    uint16 internal constant LAYERS_MAX = 999;
    /// @notice Steps until new layers learn at the full rate.
    uint256 internal constant GROWTH_RATE_STEPS = 1000;
    /// @notice Seconds from an announcement to its deadline, and from one deadline to the next.
    uint48 internal constant GROWTH_GRACE = 600;
    /// @notice How often a deadline is put off.
    uint8 internal constant GROWTH_EXTENSIONS = 3;
    /// @notice Rounds back that a late claim's work may have begun: nodes keep the starts of so many, for who has none can
    /// recompute nothing.
    uint64 internal constant LATE_ROUNDS = 16;
    /// @notice Tiers of speed, and the slowest that every new layer needs one holder of.
    uint8 internal constant TIERS = 5;
    uint8 internal constant GROWTH_TIER_MAX = 3;
    /// @notice Below so many nodes a layer needs one holder, below so many two, else three.
    uint256 internal constant FEW_NODES = 5;
    uint256 internal constant MANY_NODES = 20;
}
