// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IEmergencyGovernor
/// @notice Short votes that take the newest version of the vocabulary back: opened by a tenth of the stake, once a version,
/// without discussion or grace. An OpenZeppelin Governor whose proposals can do one thing.
/// @dev A proposal's one action is vocabulary.rollback(version), its description "Take back version N".
interface IEmergencyGovernor {
    /// @notice `proposer` opened a vote on taking `version` back. `reason` is its own text.
    event RollbackProposed(uint256 indexed id, uint16 indexed version, address indexed proposer, string reason);

    /// @notice Thrown when a reason is longer than 256 bytes.
    error ReasonTooLong(uint256 length);

    /// @notice The vote about a version; there may be none yet.
    function idOf(uint16 version) external view returns (uint256);
    /// @notice Opens a vote on taking `version` back. The caller's votes must be a tenth of all.
    function proposeRollback(uint16 version, string calldata reason) external returns (uint256 id);
    /// @notice Takes a version back whose vote has passed. Anyone may call.
    function executeRollback(uint16 version) external returns (uint256 id);
}
