// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SoftFloat } from "./SoftFloat.sol";

/// @title SoftFloatOrder
/// @notice Comparisons, maximum and minimum, magnitude and sign of binary32 numbers held as their 32 bits.
/// @dev Comparisons are the quiet predicates of IEEE 754-2019 section 5.11: false when an operand is NaN, -0 equal to +0.
/// `a != b` is `!eq(a, b)`, true with a NaN. Every NaN result is {SoftFloat.NAN}; see the warning there.
library SoftFloatOrder {
    uint256 private constant INF = 0x7f800000;
    uint256 private constant MAGNITUDE = 0x7fffffff;
    uint256 private constant SIGN = 0x80000000;

    /// @notice Whether the bits are a NaN of any kind.
    function isNaN(uint32 a) internal pure returns (bool) {
        return a & MAGNITUDE > INF;
    }

    /// @notice a == b.
    function eq(uint32 a, uint32 b) internal pure returns (bool) {
        return _ordered(a, b) && _value(a) == _value(b);
    }

    /// @notice a < b.
    function lt(uint32 a, uint32 b) internal pure returns (bool) {
        return _ordered(a, b) && _value(a) < _value(b);
    }

    /// @notice a <= b.
    function le(uint32 a, uint32 b) internal pure returns (bool) {
        return _ordered(a, b) && _value(a) <= _value(b);
    }

    /// @notice a > b.
    function gt(uint32 a, uint32 b) internal pure returns (bool) {
        return lt(b, a);
    }

    /// @notice a >= b.
    function ge(uint32 a, uint32 b) internal pure returns (bool) {
        return le(b, a);
    }

    /// @notice The larger; NaN if either is NaN, and -0 < +0 (`maximum` of IEEE 754-2019 section 9.6).
    /// @dev Warning: PyTorch's `amax` and `maximum` propagate NaN too, but the sign of their zero, where zeros of both signs
    /// are largest, depends on the order of the terms and on the processor.
    function max(uint32 a, uint32 b) internal pure returns (uint32) {
        if (!_ordered(a, b)) return SoftFloat.NAN;
        return _rank(a) < _rank(b) ? b : a;
    }

    /// @notice The smaller; NaN if either is NaN, and -0 < +0 (`minimum` of IEEE 754-2019 section 9.6).
    /// @dev Warning: the same as for {max}.
    function min(uint32 a, uint32 b) internal pure returns (uint32) {
        if (!_ordered(a, b)) return SoftFloat.NAN;
        return _rank(b) < _rank(a) ? b : a;
    }

    /// @notice |a|.
    function abs(uint32 a) internal pure returns (uint32) {
        return isNaN(a) ? SoftFloat.NAN : a & 0x7fffffff;
    }

    /// @notice -a, also of zero and infinity.
    function neg(uint32 a) internal pure returns (uint32) {
        return isNaN(a) ? SoftFloat.NAN : a ^ 0x80000000;
    }

    /// @dev Whether neither is NaN.
    function _ordered(uint32 a, uint32 b) private pure returns (bool yes) {
        (uint256 u, uint256 v) = (a & MAGNITUDE, b & MAGNITUDE);
        assembly ("memory-safe") {
            yes := iszero(or(gt(u, INF), gt(v, INF)))
        }
    }

    /// @dev An integer in the order of the numbers, both zeros 0: the magnitude, negated under a sign.
    function _value(uint32 a) private pure returns (int256) {
        unchecked {
            return _rank(a) + int256(uint256(a) >> 31);
        }
    }

    /// @dev An integer in the order of the numbers, -0 below +0: the magnitude, its bits flipped under a sign.
    function _rank(uint32 a) private pure returns (int256) {
        unchecked {
            return int256((a & MAGNITUDE) ^ (0 - (uint256(a) >> 31)));
        }
    }
}
