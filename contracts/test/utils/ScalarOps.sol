// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IntegerDot } from "../../src/libraries/IntegerDot.sol";
import { SoftFloat } from "../../src/libraries/SoftFloat.sol";
import { SoftFloatConvert } from "../../src/libraries/SoftFloatConvert.sol";
import { SoftFloatOrder } from "../../src/libraries/SoftFloatOrder.sol";

/// @title ScalarOps
/// @notice The scalar arithmetic over packed cases, so that one call compares thousands with another implementation.
contract ScalarOps {
    /// @notice Two binary32 numbers -> one, or a truth value 0 or 1. The order is that of {binary}'s `op`.
    function _binary(uint256 op, uint32 a, uint32 b) internal pure returns (uint256) {
        if (op == 0) return SoftFloat.add(a, b);
        if (op == 1) return SoftFloat.sub(a, b);
        if (op == 2) return SoftFloat.mul(a, b);
        if (op == 3) return SoftFloat.div(a, b);
        if (op == 4) return SoftFloatOrder.max(a, b);
        if (op == 5) return SoftFloatOrder.min(a, b);
        if (op == 6) return SoftFloatOrder.lt(a, b) ? 1 : 0;
        if (op == 7) return SoftFloatOrder.le(a, b) ? 1 : 0;
        if (op == 8) return SoftFloatOrder.gt(a, b) ? 1 : 0;
        if (op == 9) return SoftFloatOrder.ge(a, b) ? 1 : 0;
        require(op == 10, "unknown op");
        return SoftFloatOrder.eq(a, b) ? 1 : 0;
    }

    /// @notice One binary32 number, or an int64, -> 64 bits.
    function _unary(uint256 op, uint64 a) internal pure returns (uint64) {
        uint32 x = uint32(a);
        if (op == 0) return SoftFloat.sqrt(x);
        if (op == 1) return SoftFloatConvert.roundEven(x);
        if (op == 2) return SoftFloatConvert.floor(x);
        if (op == 3) return SoftFloatOrder.abs(x);
        if (op == 4) return SoftFloatOrder.neg(x);
        if (op == 5) return uint64(int64(SoftFloatConvert.toInt32(x)));
        if (op == 6) return uint64(SoftFloatConvert.toInt64(x));
        require(op == 7, "unknown op");
        return SoftFloatConvert.fromInt(int64(a));
    }

    /// @notice `cases` holds pairs of big-endian uint32; the result one big-endian uint32 a pair.
    function binary(uint256 op, bytes calldata cases) external pure returns (bytes memory results) {
        uint256 count = cases.length / 8;
        results = new bytes(count * 4);
        for (uint256 i = 0; i < count; ++i) {
            uint256 both = uint64(bytes8(cases[i * 8:i * 8 + 8]));
            uint256 result = _binary(op, uint32(both >> 32), uint32(both));
            assembly ("memory-safe") {
                let at := add(add(results, 4), mul(i, 4))
                mstore(at, or(and(mload(at), not(0xffffffff)), result))
            }
        }
    }

    /// @notice `cases` holds big-endian uint64, of which float ops take the lower half; the result one big-endian uint64 each.
    function unary(uint256 op, bytes calldata cases) external pure returns (bytes memory results) {
        uint256 count = cases.length / 8;
        results = new bytes(count * 8);
        for (uint256 i = 0; i < count; ++i) {
            uint256 result = _unary(op, uint64(bytes8(cases[i * 8:i * 8 + 8])));
            assembly ("memory-safe") {
                let at := add(add(results, 8), mul(i, 8))
                mstore(at, or(and(mload(at), not(0xffffffffffffffff)), result))
            }
        }
    }

    /// @notice `left` and `right` hold rows of `size` bytes; the result is one dot product a pair.
    function dots(uint256 size, bytes calldata left, bytes calldata right)
        external
        pure
        returns (int256[] memory totals)
    {
        uint256 count = left.length / size;
        totals = new int256[](count);
        for (uint256 i = 0; i < count; ++i) {
            totals[i] = IntegerDot.dot(left[i * size:i * size + size], right[i * size:i * size + size]);
        }
    }
}
