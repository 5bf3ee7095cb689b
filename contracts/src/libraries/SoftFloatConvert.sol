// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SoftFloat } from "./SoftFloat.sol";

/// @title SoftFloatConvert
/// @notice Rounding of binary32 numbers to integral values, and conversion from and to integers.
/// @dev Sections 5.4.1, 5.8 and 5.9 of IEEE 754-2019. Every NaN result is {SoftFloat.NAN}; see the warning there. A view of
/// the bits as an int32, and back, is a cast: `int32(bits)`, `uint32(i)`.
// Shifts of 1 are powers of two, and every cast keeps 32 bits of a number that has no more.
// forge-lint: disable-next-item(incorrect-shift, unsafe-typecast)
library SoftFloatConvert {
    uint256 private constant INF = SoftFloat.INFINITY;
    uint256 private constant MAGNITUDE = 0x7fffffff;
    uint256 private constant SIGN = 0x80000000;
    uint256 private constant ONE = 0x3f800000;
    uint256 private constant HALF = 0x3f000000;

    /// @notice The nearest integral value, ties to even, with the sign of `a` (roundToIntegralTiesToEven).
    function roundEven(uint32 a) internal pure returns (uint32) {
        unchecked {
            uint256 u = a & MAGNITUDE;
            if (u >> 23 >= 150) return u > INF ? SoftFloat.NAN : a;
            uint256 sign = a & SIGN;
            if (u < ONE) return uint32(u > HALF ? sign | ONE : sign);
            // The exponent of 1 is odd as a number, so its last bit stands for the hidden bit where that is the units' place.
            uint256 s = 150 - (u >> 23);
            u = (u + (1 << (s - 1)) - 1 + ((u >> s) & 1)) >> s << s;
            return uint32(sign | u);
        }
    }

    /// @notice The largest integral value not above `a` (roundToIntegralTowardNegative); -0 of -0.
    function floor(uint32 a) internal pure returns (uint32) {
        unchecked {
            uint256 u = a & MAGNITUDE;
            if (u >> 23 >= 150) return u > INF ? SoftFloat.NAN : a;
            bool negative = a >= SIGN;
            if (u < ONE) return !negative ? 0 : u == 0 ? a : 0xbf800000;
            uint256 s = 150 - (u >> 23);
            // Away from zero below it: one less than a unit is added, and a fraction carries.
            if (negative) u += (1 << s) - 1;
            return uint32((a & SIGN) | (u >> s << s));
        }
    }

    /// @notice The integer part as an int32, toward zero (convertToIntegerTowardZero).
    /// @dev NaN, infinity and what an int32 cannot hold give -2^31 as on x86. IEEE 754 calls that invalid, and other
    /// processors give other integers: an exact program must not do it.
    function toInt32(uint32 a) internal pure returns (int32) {
        return int32(_truncate(a, 158, type(int32).min));
    }

    /// @notice The integer part as an int64, toward zero (convertToIntegerTowardZero).
    /// @dev NaN, infinity and what an int64 cannot hold give -2^63, as {toInt32}.
    function toInt64(uint32 a) internal pure returns (int64) {
        return int64(_truncate(a, 190, type(int64).min));
    }

    /// @notice The binary32 number nearest to an integer, ties to even (convertFromInt). An int32 widens to the same.
    function fromInt(int64 value) internal pure returns (uint32) {
        unchecked {
            if (value == 0) return 0;
            uint256 sign = value < 0 ? SIGN : 0;
            uint256 m = value < 0 ? uint256(-int256(value)) : uint256(int256(value));
            uint256 p = SoftFloat.log2(m);
            // The hidden bit adds the last one to the exponent field.
            uint256 bits = sign | ((p + 126) << 23);
            if (p < 24) return uint32(bits + (m << (23 - p)));
            p -= 23;
            return uint32(bits + ((m + (1 << (p - 1)) - 1 + ((m >> p) & 1)) >> p));
        }
    }

    /// @dev Toward zero; `invalid` from the exponent field `limit` on.
    function _truncate(uint32 a, uint256 limit, int256 invalid) private pure returns (int256 value) {
        unchecked {
            uint256 e = (uint256(a) >> 23) & 0xff;
            if (e < 127) return 0;
            if (e >= limit) return invalid;
            uint256 m = (a & 0x7fffff) | 0x800000;
            value = int256(e < 150 ? m >> (150 - e) : m << (e - 150));
            if (a >= SIGN) value = -value;
        }
    }
}
