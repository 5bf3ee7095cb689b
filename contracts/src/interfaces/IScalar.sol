// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "./IJudge.sol";

/// @title IScalar
/// @notice Recomputes one element of one op. It holds no state and no money.
interface IScalar {
    /// @notice Thrown when an operand's element lies in none of the leaves that were opened.
    error LeafMissing(uint256 operand, uint256 leaf);

    /// @notice Whether an element of an op's output is not what follows from the elements that it reads.
    /// @dev Reverts where a proof does not lead to its root. The parameters are those of {IJudge.proveElement}, so that the
    /// judge hands its calldata on as it is.
    function isWrong(Dispute calldata d, IJudge.Program calldata program, IJudge.ElementProof calldata proof)
        external
        view
        returns (bool);
}
