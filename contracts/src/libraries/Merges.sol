// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IVocabulary } from "../interfaces/IVocabulary.sol";
import { Rules } from "./Rules.sol";

/// @title Merges
/// @notice Checks the merges of a change.
/// @dev A merge is 8 bytes: left u16, right u16, occurrences u32, big-endian. Merge k of a change to a vocabulary of `size`
/// tokens gets id size + k, so it may join any token before that but a special one.
library Merges {
    uint256 private constant BYTES = 8;

    /// @notice Tokens after `merges`; reverts unless each may be applied.
    function check(bytes calldata merges, uint256 size) internal pure returns (uint16) {
        uint256 count = merges.length / BYTES;
        if (count == 0 || count > Rules.MERGES_MAX || merges.length % BYTES != 0) {
            revert IVocabulary.WrongMerges(merges.length);
        }
        if (size + count > type(uint16).max) revert IVocabulary.WrongMerges(merges.length);
        // Sums stay below 2^16.
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                uint256 merge = _at(merges, i);
                if (!_isToken(merge >> 48, size + i) || !_isToken((merge >> 32) & 0xffff, size + i)) {
                    revert IVocabulary.UnknownToken(i);
                }
                // The occurrences are the lower 32 bits.
                // forge-lint: disable-next-line(unsafe-typecast)
                if (uint32(merge) <= Rules.FREQUENCY) revert IVocabulary.TooRare(i, uint32(merge));
            }
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint16(size + count);
    }

    function _at(bytes calldata merges, uint256 i) private pure returns (uint256 merge) {
        assembly ("memory-safe") {
            merge := shr(192, calldataload(add(merges.offset, shl(3, i))))
        }
    }

    function _isToken(uint256 id, uint256 size) private pure returns (bool) {
        return id < size && (id < Rules.FIRST_SPECIAL || id >= Rules.BASE_SIZE);
    }
}
