// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title SoftFloat
/// @notice The five arithmetic operations of IEEE 754-2019 (sections 5.4.1 and 7) on binary32 numbers, held as their 32
/// bits: correctly rounded, ties to even, subnormals kept.
/// @dev The results are those of Berkeley SoftFloat release 3e with `softfloat_round_near_even`; the method differs where
/// 256-bit words make it shorter: sums, products and quotients are kept exact, or with a sticky last bit, and rounded once.
///
/// A finite magnitude is `significand * 2^(shift - 149)`, with `shift` 0 for subnormals and exponent field - 1 for normals,
/// so that its bits are `significand + (shift << 23)`. A carry out of a rounded significand thus moves the exponent by
/// itself, and a significand below 2^23 with shift 0 is a subnormal without a special case.
///
/// @dev Warning: IEEE 754 leaves the sign and payload of a NaN open, and processors differ. Every NaN result here is
/// {NAN}, whatever the operands; compare with hardware only modulo NaN.
library SoftFloat {
    /// @notice The one NaN that operations return: quiet, positive, no payload.
    uint32 internal constant NAN = 0x7fc00000;

    /// @notice Plus infinity.
    uint32 internal constant INFINITY = 0x7f800000;

    uint256 private constant SIGN = 0x80000000;
    uint256 private constant MAGNITUDE = 0x7fffffff;
    uint256 private constant INF = INFINITY;

    /// @notice a + b.
    /// @dev An exact zero is +0 unless both operands are -0 (IEEE 754-2019 section 6.3).
    function add(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            (uint256 x, uint256 y) = (a, b);
            (uint256 u, uint256 v) = (x & MAGNITUDE, y & MAGNITUDE);
            if (u < v) (x, y, u, v) = (y, x, v, u);
            if (u >= INF) {
                // The larger is infinite or NaN. Infinity is only left by infinity of the other sign.
                return u > INF || (v == INF && x != y) ? NAN : _bits(x);
            }
            uint256 e = _shift(v);
            uint256 d = _shift(u) - e;
            // The smaller is under a quarter of the larger's last place: it cannot reach a rounding boundary.
            if (d > 25) return _bits(x);
            uint256 m = (u - ((e + d) << 23)) << d;
            uint256 sign = x & SIGN;
            if (x ^ y < SIGN) {
                m += v - (e << 23);
                if (m >> 24 == 0) return _bits(sign | ((e << 23) + m));
                d += m >> (24 + d);
                return _bits(sign | _clamp(((e + d) << 23) + _round(m, d)));
            }
            m -= v - (e << 23);
            if (m >> 24 == 0) {
                // Cancellation is exact: only the leading zeros go, as far as the exponent allows.
                if (m == 0) return 0;
                d = 23 - log2(m);
                if (d > e) d = e;
                return _bits(sign | (((e - d) << 23) + (m << d)));
            }
            d -= 1 - (m >> (23 + d));
            return _bits(sign | (((e + d) << 23) + _round(m, d)));
        }
    }

    /// @notice a - b.
    function sub(uint32 a, uint32 b) internal pure returns (uint32) {
        return add(a, b ^ 0x80000000);
    }

    /// @notice a * b.
    function mul(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            uint256 sign = (uint256(a) ^ b) & SIGN;
            (uint256 u, uint256 v) = (a & MAGNITUDE, b & MAGNITUDE);
            if (u >= INF || v >= INF) {
                // Zero times infinity is invalid.
                return u > INF || v > INF || u == 0 || v == 0 ? NAN : _bits(sign | INF);
            }
            (uint256 e, uint256 f) = (_shift(u), _shift(v));
            uint256 m = (u - (e << 23)) * (v - (f << 23));
            e += f;
            // |a b| = m * 2^(e - 298); 46 bits of margin stand for subnormal factors, whose products are short.
            f = 149;
            if (m >> 46 == 0) {
                if (m == 0) return _bits(sign);
                uint256 z = 46 - log2(m);
                m <<= z;
                f += z;
            }
            return _bits(sign | _pack(m, 23 + (m >> 47), e, f));
        }
    }

    /// @notice a / b.
    /// @dev A finite non-zero number over zero is infinite; 0 / 0 and infinity over infinity are NaN.
    function div(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            uint256 sign = (uint256(a) ^ b) & SIGN;
            (uint256 u, uint256 v) = (a & MAGNITUDE, b & MAGNITUDE);
            if (u >= INF) return u > INF || v >= INF ? NAN : _bits(sign | INF);
            if (v >= INF) return v > INF ? NAN : _bits(sign);
            if (v == 0) return u == 0 ? NAN : _bits(sign | INF);
            if (u == 0) return _bits(sign);
            (uint256 e, uint256 f) = (_shift(u), _shift(v));
            u = (u - (e << 23)) << 60;
            v -= f << 23;
            // At least 37 bits of quotient, the last one sticky: |a / b| = m * 2^(e - f - 60).
            uint256 m = (u / v) | _flag(u % v != 0);
            uint256 s = m >> 59;
            s = s == 0 || s > 3 ? log2(m) - 23 : 36 + (s >> 1);
            return _bits(sign | _pack(m, s, e + 89, f));
        }
    }

    /// @notice Square root of `a`; NaN below zero, -0 of -0.
    /// @dev Newton's iteration on the integer root. The start is within 5.8%, and three rounds make that 0.17%, 1.4e-6, 1e-12: the
    /// root of 26 bits or one more.
    function sqrt(uint32 a) internal pure returns (uint32) {
        unchecked {
            uint256 x = a;
            if (x >= INF || x == 0) {
                if (x == SIGN || x == INF || x == 0) return a;
                return NAN;
            }
            uint256 e = _shift(x);
            uint256 n = x - (e << 23);
            // 2^149 |a| = n * 2^e. A subnormal's leading zeros are shifted out and counted.
            uint256 z = n >> 23 == 0 ? 23 - log2(n) : 0;
            e += 126 - z;
            // n in [2^50, 2^52), its exponent even.
            n <<= 27 + z + (e & 1);
            uint256 r = (n + (1 << 51)) / (3 << 25);
            r = (r + n / r) >> 1;
            r = (r + n / r) >> 1;
            r = (r + n / r) >> 1;
            r -= _flag(r * r > n);
            return _bits(((e >> 1) << 23) + _round(r | _flag(r * r != n), 2));
        }
    }

    /// @notice Index of the highest set bit of `m`, from 1 to 2^128 - 1.
    /// @dev Four halvings, then a table by the top byte: Solady's LibBit.fls (MIT licence) less its first halving.
    function log2(uint256 m) internal pure returns (uint256 r) {
        assembly ("memory-safe") {
            r := shl(6, lt(0xffffffffffffffff, m))
            r := or(r, shl(5, lt(0xffffffff, shr(r, m))))
            r := or(r, shl(4, lt(0xffff, shr(r, m))))
            r := or(r, shl(3, lt(0xff, shr(r, m))))
            r := or(
                r,
                byte(
                    and(0x1f, shr(shr(r, m), 0x8421084210842108cc6318c6db6d54be)),
                    0x0706060506020504060203020504030106050205030304010505030400000000
                )
            )
        }
    }

    /// @dev Bits of the magnitude m * 2^(e - f - 149), rounded by dropping `s` bits of m or, below the normal numbers, more.
    function _pack(uint256 m, uint256 s, uint256 e, uint256 f) private pure returns (uint256) {
        unchecked {
            e += s;
            if (e < f) return _round(m, s + (f - e));
            return _clamp(((e - f) << 23) + _round(m, s));
        }
    }

    /// @dev m / 2^s rounded to the nearest integer, ties to even; s from 1 to 254.
    function _round(uint256 m, uint256 s) private pure returns (uint256) {
        unchecked {
            // forge-lint: disable-next-line(incorrect-shift)
            return (m + (1 << (s - 1)) - 1 + ((m >> s) & 1)) >> s;
        }
    }

    /// @dev Overflow rounds to infinity.
    function _clamp(uint256 bits) private pure returns (uint256) {
        return bits > INF ? INF : bits;
    }

    /// @dev How far the significand of a finite magnitude stands above the subnormals': max(exponent field, 1) - 1.
    function _shift(uint256 magnitude) private pure returns (uint256 e) {
        assembly ("memory-safe") {
            e := shr(23, magnitude)
            e := sub(e, iszero(iszero(e)))
        }
    }

    function _flag(bool condition) private pure returns (uint256 one) {
        assembly ("memory-safe") {
            one := condition
        }
    }

    function _bits(uint256 x) private pure returns (uint32 bits) {
        assembly ("memory-safe") {
            bits := x
        }
    }
}
