// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Rules
/// @notice Numbers of vocabulary votes that every network keeps; economics/constants.py has the same ones.
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
}
