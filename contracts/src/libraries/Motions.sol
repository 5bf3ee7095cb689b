// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Change, Terms } from "../interfaces/IVocabulary.sol";

/// @title Motions
/// @notice What stands on chain for the terms of a version.
library Motions {
    /// @notice Of the version that `change` would make.
    function termsOf(Change calldata change) internal pure returns (bytes32) {
        // The encoding of {Terms}, without the struct.
        return keccak256(
            abi.encode(
                change.programHash, change.growHash, change.shrinkHash, change.dataRoot, keccak256(change.merges)
            )
        );
    }

    /// @notice Of `terms` themselves.
    function hash(Terms memory terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }
}
