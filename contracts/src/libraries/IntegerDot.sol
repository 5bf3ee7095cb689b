// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IntegerDot
/// @notice Dot product of two rows of 16-bit integers, fast where they have 12 bits.
/// @dev A row is committed as little-endian int16, contiguous along the contracted dimension: at most 512 terms, one
/// 1,024-byte leaf.
///
/// A word of 16 lanes of 16 bits is a polynomial in X = 2^16, and modulo 2^256 - 1 its powers wrap: X^16 = 1. In the product
/// of two words, lane i of one meets lane i of the other at X^(2i). The even lanes split into {0, 2, 8, 10} and
/// {4, 6, 12, 14}: within such a set, i + j modulo 16 is never twice a member unless i = j. So one MULMOD gives four wanted
/// products, in two fields of 32 bits that hold nothing else. The odd lanes split alike, one lane higher.
library IntegerDot {
    /// @notice Thrown when the rows differ in length, end within a term or hold more than 512.
    error RowLength(uint256 left, uint256 right);

    /// @notice Most bytes of a row.
    uint256 internal constant MAX_BYTES = 1024;

    // Of each lane: the lower and the upper byte, and what moves int16 -2048..2047 to 0..4095: flip the sign, subtract.
    uint256 private constant LOWER = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant UPPER = 0xff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00;
    uint256 private constant FLIP = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant LESS = 0x7800780078007800780078007800780078007800780078007800780078007800;
    uint256 private constant OVER = 0xf000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000;

    // Four sets of lanes, and the fields of 32 bits where twice a member of the set lies.
    uint256 private constant LANES_0 = 0x00000000000000000000ffff0000ffff00000000000000000000ffff0000ffff;
    uint256 private constant LANES_1 = 0x0000000000000000ffff0000ffff00000000000000000000ffff0000ffff0000;
    uint256 private constant LANES_4 = 0x0000ffff0000ffff00000000000000000000ffff0000ffff0000000000000000;
    uint256 private constant LANES_5 = 0xffff0000ffff00000000000000000000ffff0000ffff00000000000000000000;
    uint256 private constant FIELDS_0 = 0xffffffff00000000ffffffff;
    uint256 private constant FIELDS_2 = 0xffffffff00000000ffffffff00000000;
    uint256 private constant FIELDS_8 = 0x00000000ffffffff00000000ffffffff00000000000000000000000000000000;
    uint256 private constant FIELDS_10 = 0xffffffff00000000ffffffff0000000000000000000000000000000000000000;

    /// @notice The sum of a[k] * b[k], exact; 0 for empty rows.
    /// @dev Quantised rows have terms from -2047 to 2047. A row that somebody else committed may hold anything, and must be
    /// judged all the same: it takes one multiplication a term.
    /// @param a Left row, int16 little-endian.
    /// @param b Right row of the same length.
    function dot(bytes memory a, bytes memory b) internal pure returns (int256 total) {
        uint256 size = a.length;
        if (size != b.length || size > MAX_BYTES || size & 1 != 0) revert RowLength(size, b.length);
        uint256 over;
        assembly ("memory-safe") {
            // Both rows beyond the free memory pointer, one byte in, padded with zeros to whole words.
            let padded := and(add(size, 31), not(31))
            let p := mload(0x40)
            let step := add(padded, 64)
            mcopy(add(p, 1), add(a, 32), size)
            mstore(add(add(p, 1), size), 0)
            mcopy(add(add(p, step), 1), add(b, 32), size)
            mstore(add(add(add(p, step), 1), size), 0)
            let sums := 0
            let s0 := 0
            let s1 := 0
            let s4 := 0
            let s5 := 0
            for { let end := add(p, padded) } lt(p, end) { p := add(p, 32) } {
                // The lower byte of a lane comes from one load, the upper from a load two bytes later. A term out of range
                // leaves a bit of OVER behind.
                let x := sub(xor(or(and(mload(p), LOWER), and(mload(add(p, 2)), UPPER)), FLIP), LESS)
                let q := add(p, step)
                let y := sub(xor(or(and(mload(q), LOWER), and(mload(add(q, 2)), UPPER)), FLIP), LESS)
                over := or(over, or(x, y))
                // Modulo 2^16 - 1 a word is the sum of its lanes; 16 * 4095 is less.
                sums := add(sums, add(mod(x, 0xffff), mod(y, 0xffff)))
                s0 := add(s0, mulmod(and(x, LANES_0), and(y, LANES_0), not(0)))
                s1 := add(s1, mulmod(and(x, LANES_1), and(y, LANES_1), not(0)))
                s4 := add(s4, mulmod(and(x, LANES_4), and(y, LANES_4), not(0)))
                s5 := add(s5, mulmod(and(x, LANES_5), and(y, LANES_5), not(0)))
            }
            s0 := or(and(s0, FIELDS_0), and(s4, FIELDS_8))
            s1 := or(and(s1, FIELDS_2), and(s5, FIELDS_10))
            // Modulo 2^64 - 1 the fields add up.
            total := mod(add(s0, shr(32, s1)), 0xffffffffffffffff)
            // (x - 2048)(y - 2048) = xy - 2048 (x + y) + 2^22, 16 times a word.
            total := sub(add(total, shl(21, padded)), shl(11, sums))
        }
        if (over & OVER != 0) return _wide(a, b);
    }

    function _wide(bytes memory a, bytes memory b) private pure returns (int256 total) {
        for (uint256 at = 0; at < a.length; at += 2) {
            total += _term(a, at) * _term(b, at);
        }
    }

    function _term(bytes memory row, uint256 at) private pure returns (int256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return int16(uint16(uint8(row[at])) | (uint16(uint8(row[at + 1])) << 8));
    }
}
