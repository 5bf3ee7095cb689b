// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim } from "../libraries/ClaimLib.sol";

/// @title IJudge
/// @notice Decides a challenge whose leaf has been opened, and calls IWorkRegistry.rule with the outcome.
interface IJudge {
    /// @notice Takes over a challenge. Registry only; the clocks are the judge's from here on.
    /// @dev The judge must end every game in bounded time, or the claim can never become final. It calls
    /// IWorkRegistry.rule in a later transaction, not within this call.
    /// @param claim The challenged claim.
    /// @param claimHash EIP-712 digest of the claim.
    /// @param challenger Who says that step `step` is wrong.
    /// @param step The pointed step, 0-based.
    /// @param before Committed state root after step - 1; the claim's startRoot for step 0.
    /// @param afterStep Committed state root after `step`.
    /// @param batch Committed batch root of `step`.
    function open(
        Claim calldata claim,
        bytes32 claimHash,
        address challenger,
        uint32 step,
        bytes32 before,
        bytes32 afterStep,
        bytes32 batch
    ) external;
}
