// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title OpCode
/// @notice One op of a step program, as its descriptor says it: kind, shapes, and how each operand is read.
/// @dev A descriptor is a leaf of the program root; docs/DISPUTE.md has its layout. All numbers are big-endian.
// Casts keep numbers that were read in the width they are cast to.
// forge-lint: disable-next-item(unsafe-typecast)
library OpCode {
    /// @notice Thrown when a descriptor ends early or goes on after its end.
    error BadDescriptor(uint256 length);

    /// @notice Thrown for an element outside the op's shape.
    error ElementOutOfRange(uint256 index, uint256 size);

    /// @notice What an op reads: one constant everywhere, or the elements of an earlier op under an affine index map.
    /// `size` counts the elements of that op's output.
    struct Operand {
        bool fixedValue;
        uint8 dtype;
        uint32 source;
        uint64 size;
        uint64 offset;
        uint64 bits;
        uint256[] strides;
    }

    /// @notice One op; `extent` is the shape that a reduction runs over.
    struct Op {
        uint8 kind;
        uint8 dtype;
        uint256[] shape;
        uint256[] extent;
        uint256[] attributes;
        Operand[] operands;
        bytes name;
    }

    /// @notice The op that a descriptor encodes.
    function parse(bytes calldata data) internal pure returns (Op memory op) {
        (op.kind, op.dtype) = (uint8(_number(data, 0, 1)), uint8(_number(data, 1, 1)));
        uint256 at = 2;
        (op.shape, at) = _list(data, at);
        (op.extent, at) = _list(data, at);
        (op.attributes, at) = _list(data, at);
        uint256 count = _number(data, at, 1);
        op.operands = new Operand[](count);
        ++at;
        uint256 rank = op.shape.length + op.extent.length;
        for (uint256 i = 0; i < count; ++i) {
            at = _operand(data, at, rank, op.operands[i]);
        }
        uint256 length = _number(data, at, 1);
        if (data.length != at + 1 + length) revert BadDescriptor(data.length);
        op.name = data[at + 1:];
    }

    /// @notice Flat index, in its source, of the first element that operand `number` reads for element `index`.
    function place(Op memory op, uint256 number, uint256 index) internal pure returns (uint256 flat) {
        Operand memory operand = op.operands[number];
        flat = operand.offset;
        uint256 rest = index;
        for (uint256 d = op.shape.length; d != 0; --d) {
            uint256 size = op.shape[d - 1];
            flat += (rest % size) * operand.strides[d - 1];
            rest /= size;
        }
        if (rest != 0) revert ElementOutOfRange(index, elements(op.shape));
    }

    /// @notice Flat index of term `term` of a reduction, relative to the first, for operand `number`.
    function step(Op memory op, uint256 number, uint256 term) internal pure returns (uint256 flat) {
        uint256[] memory strides = op.operands[number].strides;
        uint256 rest = term;
        for (uint256 d = op.extent.length; d != 0; --d) {
            uint256 size = op.extent[d - 1];
            flat += (rest % size) * strides[op.shape.length + d - 1];
            rest /= size;
        }
        if (rest != 0) revert ElementOutOfRange(term, elements(op.extent));
    }

    /// @notice Whether a reduction reads its terms of operand `number` from memory in one piece.
    function isDense(Op memory op, uint256 number) internal pure returns (bool) {
        uint256[] memory strides = op.operands[number].strides;
        uint256 expected = 1;
        for (uint256 d = op.extent.length; d != 0; --d) {
            uint256 size = op.extent[d - 1];
            if (size != 1 && strides[op.shape.length + d - 1] != expected) return false;
            expected *= size;
        }
        return true;
    }

    /// @notice Place of operand `number` among those that read an output; for the number of operands, how many those are.
    function slot(Op memory op, uint256 number) internal pure returns (uint256 count) {
        for (uint256 i = 0; i < number; ++i) {
            if (!op.operands[i].fixedValue) ++count;
        }
    }

    /// @notice Number of elements of a shape; 1 for no dimensions.
    function elements(uint256[] memory shape) internal pure returns (uint256 size) {
        size = 1;
        for (uint256 d = 0; d < shape.length; ++d) {
            size *= shape[d];
        }
    }

    /// @notice First coordinate of element `index`.
    function first(Op memory op, uint256 index) internal pure returns (uint256 coordinate) {
        coordinate = index;
        for (uint256 d = op.shape.length; d > 1; --d) {
            coordinate /= op.shape[d - 1];
        }
    }

    function _operand(bytes calldata data, uint256 start, uint256 rank, Operand memory operand)
        private
        pure
        returns (uint256 at)
    {
        operand.fixedValue = _number(data, start, 1) == 0;
        operand.dtype = uint8(_number(data, start + 1, 1));
        if (operand.fixedValue) {
            operand.bits = uint64(_number(data, start + 2, 8));
            return start + 10;
        }
        operand.source = uint32(_number(data, start + 2, 4));
        operand.size = uint64(_number(data, start + 6, 8));
        operand.offset = uint64(_number(data, start + 14, 8));
        operand.strides = new uint256[](rank);
        at = start + 22;
        for (uint256 d = 0; d < rank; ++d) {
            operand.strides[d] = _number(data, at, 4);
            at += 4;
        }
    }

    function _list(bytes calldata data, uint256 start) private pure returns (uint256[] memory list, uint256 at) {
        list = new uint256[](_number(data, start, 1));
        at = start + 1;
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = _number(data, at, 4);
            at += 4;
        }
    }

    /// @dev A big-endian number of `width` bytes, at most 8.
    function _number(bytes calldata data, uint256 at, uint256 width) private pure returns (uint256 value) {
        if (at + width > data.length) revert BadDescriptor(data.length);
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, width)), calldataload(add(data.offset, at)))
        }
    }
}
