// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IntegerDot } from "./IntegerDot.sol";
import { OpCode } from "./OpCode.sol";
import { SoftFloat } from "./SoftFloat.sol";
import { SoftFloatConvert } from "./SoftFloatConvert.sol";
import { SoftFloatOrder } from "./SoftFloatOrder.sol";

/// @title OneStep
/// @notice One element of one op, recomputed from the elements it reads.
/// @dev The same as consensus/dispute/onestep.py, bit for bit. Whoever calls it has proved that the elements are those the
/// op reads. Bits of a result: 32 of a float, two's complement in the width of an integer, 0 or 1 of a boolean. Every cast
/// keeps the bits of a number that has no more, and shifts of 1 are powers of two.
// forge-lint: disable-next-item(incorrect-shift, unsafe-typecast)
library OneStep {
    using OpCode for OpCode.Op;

    /// @notice Thrown for a kind that nothing computes: an input, or one outside the op set.
    error NotJudged(uint8 kind);

    /// @notice Thrown when an operand's elements are not as many bytes as the op reads.
    error WrongValues(uint256 operand, uint256 length);

    // Kinds, as consensus/program/ops.py numbers them.
    uint8 internal constant COPY = 1;
    uint8 internal constant STACK = 2;
    uint8 internal constant IOTA = 3;
    uint8 internal constant ADD = 4;
    uint8 internal constant SUB = 5;
    uint8 internal constant MUL = 6;
    uint8 internal constant DIV = 7;
    uint8 internal constant SQRT = 8;
    uint8 internal constant ROUND = 9;
    uint8 internal constant ABS = 10;
    uint8 internal constant GT = 11;
    uint8 internal constant GE = 12;
    uint8 internal constant LT = 13;
    uint8 internal constant WHERE = 14;
    uint8 internal constant TO_INT = 15;
    uint8 internal constant TO_FLOAT = 16;
    uint8 internal constant AS_INT = 17;
    uint8 internal constant AS_FLOAT = 18;
    uint8 internal constant INT_ADD = 19;
    uint8 internal constant INT_SUB = 20;
    uint8 internal constant INT_GE = 21;
    uint8 internal constant INT_EQ = 22;
    uint8 internal constant SHL = 23;
    uint8 internal constant SHR = 24;
    uint8 internal constant MAX = 25;
    uint8 internal constant INT_SUM = 26;
    uint8 internal constant DOT = 27;
    uint8 internal constant GATHER = 28;
    uint8 internal constant SUM_AT = 29;
    uint8 internal constant INT_MUL = 30;
    uint8 internal constant INT_DIV = 31;

    uint8 private constant FLOAT32 = 4;

    /// @notice Bits of element `index` of `op`.
    /// @param op The op.
    /// @param index Row-major index in its shape.
    /// @param values For each operand the elements it reads, in the order of the extent, little-endian as in memory; empty
    /// for a constant, and for the operands of a STACK that this element does not read.
    function element(OpCode.Op memory op, uint256 index, bytes[] memory values) internal pure returns (uint256) {
        uint8 kind = op.kind;
        if (kind == IOTA) return index;
        if (op.extent.length != 0) return _mask(_reduce(op, index, values), op.dtype);
        if (kind == GATHER) return _mask(_value(op, 0, values), op.dtype);
        if (kind == STACK) return _mask(_value(op, op.first(index), values), op.dtype);
        if (kind == 0 || kind > INT_DIV || (kind >= MAX && kind <= SUM_AT)) revert NotJudged(kind);
        int256 a = _value(op, 0, values);
        int256 b = op.operands.length > 1 ? _value(op, 1, values) : int256(0);
        if (kind == WHERE) return _mask(a != 0 ? b : _value(op, 2, values), op.dtype);
        if (kind >= INT_ADD) return _mask(_integers(kind, a, b), op.dtype);
        if (kind >= TO_INT) return _mask(_convert(kind, op.dtype, a), op.dtype);
        return kind == COPY ? _mask(a, op.dtype) : _floats(kind, _bits(a), _bits(b));
    }

    /// @notice Flat index in its table of the element that a GATHER reads, given the row that its index says.
    function gathered(OpCode.Op memory op, uint256 index, uint256 row) internal pure returns (uint256) {
        if (row >= op.attributes[1]) revert OpCode.ElementOutOfRange(row, op.attributes[1]);
        return op.place(0, index) + row * op.attributes[0];
    }

    /// @notice Bytes of one element of a type.
    function width(uint8 dtype) internal pure returns (uint256) {
        return dtype == 0 ? 1 : dtype == 1 ? 2 : dtype == 3 ? 8 : 4;
    }

    function _floats(uint8 kind, uint32 a, uint32 b) private pure returns (uint256) {
        if (kind == ADD) return SoftFloat.add(a, b);
        if (kind == SUB) return SoftFloat.sub(a, b);
        if (kind == MUL) return SoftFloat.mul(a, b);
        if (kind == DIV) return SoftFloat.div(a, b);
        if (kind == SQRT) return SoftFloat.sqrt(a);
        if (kind == ROUND) return SoftFloatConvert.roundEven(a);
        if (kind == ABS) return SoftFloatOrder.abs(a);
        if (kind == GT) return _flag(SoftFloatOrder.gt(a, b));
        if (kind == GE) return _flag(SoftFloatOrder.ge(a, b));
        return _flag(SoftFloatOrder.lt(a, b));
    }

    function _convert(uint8 kind, uint8 dtype, int256 a) private pure returns (int256) {
        if (kind == AS_INT || kind == AS_FLOAT) return a;
        if (kind == TO_FLOAT) return int256(uint256(SoftFloatConvert.fromInt(int64(a))));
        int256 whole = SoftFloatConvert.toInt64(_bits(a));
        int256 limit = int256(1 << (8 * width(dtype) - 1));
        return whole >= -limit && whole < limit ? whole : -limit;
    }

    function _integers(uint8 kind, int256 a, int256 b) private pure returns (int256) {
        if (kind == INT_ADD) return a + b;
        if (kind == INT_SUB) return a - b;
        if (kind == INT_GE) return a >= b ? int256(1) : int256(0);
        if (kind == INT_EQ) return a == b ? int256(1) : int256(0);
        if (kind == INT_MUL) return a * b;
        if (kind == INT_DIV) return _floor(a, b);
        return kind == SHL ? a << uint256(b) : a >> uint256(b);
    }

    /// @dev Rounded down; 0 for a division by zero, which no program of ours does.
    function _floor(int256 a, int256 b) private pure returns (int256 quotient) {
        if (b == 0) return 0;
        quotient = a / b;
        if (a % b != 0 && (a < 0) != (b < 0)) quotient -= 1;
    }

    function _reduce(OpCode.Op memory op, uint256 index, bytes[] memory values) private pure returns (int256 total) {
        uint256 terms = OpCode.elements(op.extent);
        for (uint256 i = 0; i < op.operands.length; ++i) {
            if (values[i].length != terms * width(op.operands[i].dtype)) revert WrongValues(i, values[i].length);
        }
        if (op.kind == DOT) return IntegerDot.dot(values[0], values[1]);
        uint8 dtype = op.operands[0].dtype;
        if (op.kind == MAX) return _largest(values[0], terms);
        if (op.kind == INT_SUM) {
            for (uint256 i = 0; i < terms; ++i) {
                total += _read(values[0], i, dtype);
            }
            return total;
        }
        if (op.kind != SUM_AT) revert NotJudged(op.kind);
        int256 wanted = int256(op.first(index));
        uint8 second = op.operands[1].dtype;
        for (uint256 i = 0; i < terms; ++i) {
            if (_read(values[0], i, dtype) == wanted) total += _read(values[1], i, second);
        }
    }

    /// @dev A largest zero is +0: which sign a processor's maximum keeps depends on its order.
    function _largest(bytes memory values, uint256 terms) private pure returns (int256) {
        uint32 best = _bits(_read(values, 0, FLOAT32));
        for (uint256 i = 1; i < terms; ++i) {
            best = SoftFloatOrder.max(best, _bits(_read(values, i, FLOAT32)));
        }
        if (SoftFloatOrder.isNaN(best)) best = SoftFloat.NAN;
        return best == 0x80000000 ? int256(0) : int256(uint256(best));
    }

    /// @dev The one element that an operand reads, or its constant.
    function _value(OpCode.Op memory op, uint256 number, bytes[] memory values) private pure returns (int256) {
        OpCode.Operand memory operand = op.operands[number];
        if (operand.fixedValue) return operand.dtype == FLOAT32 ? int256(uint256(operand.bits)) : int64(operand.bits);
        if (values[number].length != width(operand.dtype)) revert WrongValues(number, values[number].length);
        return _read(values[number], 0, operand.dtype);
    }

    /// @dev Element `i` of a packed little-endian row: signed for integers, bits for floats.
    function _read(bytes memory row, uint256 i, uint8 dtype) private pure returns (int256 value) {
        uint256 size = width(dtype);
        uint256 raw = 0;
        for (uint256 k = size; k != 0; --k) {
            raw = (raw << 8) | uint8(row[i * size + k - 1]);
        }
        if (dtype == 0) return raw == 0 ? int256(0) : int256(1);
        if (dtype == FLOAT32) return int256(raw);
        if (dtype == 1) return int16(uint16(raw));
        return dtype == 2 ? int256(int32(uint32(raw))) : int256(int64(uint64(raw)));
    }

    function _mask(int256 value, uint8 dtype) private pure returns (uint256) {
        return uint256(value) & ((1 << (8 * width(dtype))) - 1);
    }

    function _bits(int256 value) private pure returns (uint32) {
        return uint32(uint256(value));
    }

    function _flag(bool yes) private pure returns (uint256) {
        return yes ? 1 : 0;
    }
}
