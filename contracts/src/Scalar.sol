// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "./interfaces/IJudge.sol";
import { IScalar } from "./interfaces/IScalar.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Layouts } from "./libraries/Layouts.sol";
import { OneStep } from "./libraries/OneStep.sol";
import { OpCode } from "./libraries/OpCode.sol";
import { Programs } from "./libraries/Programs.sol";
import { Proofs } from "./libraries/Proofs.sol";

/// @title Scalar
/// @notice Recomputes one element of one op. See {IScalar}.
/// @dev The prover's own trace says what an element reads: an op is wrong where its output does not follow from inputs that
/// the same trace holds, whoever else may agree with those inputs.
contract Scalar is IScalar {
    using OpCode for OpCode.Op;

    IWorkRegistry private immutable REGISTRY;

    constructor(IWorkRegistry registry_) {
        REGISTRY = registry_;
    }

    /// @inheritdoc IScalar
    function isWrong(Dispute calldata d, IJudge.Program calldata program, IJudge.ElementProof calldata proof)
        external
        view
        returns (bool)
    {
        Programs.Layout memory layout = Layouts.resolve(REGISTRY, d, program);
        bytes32 trace = d.trace;
        Proofs.requireDescriptor(layout, proof.op, proof.descriptor, proof.descriptorProof, 0);
        Proofs.requireOutput(trace, layout.ops, proof.op, proof.output, 1);
        OpCode.Op memory op = OpCode.parse(proof.descriptor);
        uint256 width = OneStep.width(op.dtype);
        uint256 elements = OpCode.elements(op.shape);
        if (proof.index >= elements) revert OpCode.ElementOutOfRange(proof.index, elements);
        Proofs.requireLeaf(proof.output.root, elements * width, proof.leaf, 2);
        uint256 committed = _number(_slice(proof.leaf, proof.index * width, width));
        return committed != OneStep.element(op, proof.index, _values(op, proof));
    }

    /// @dev For each operand the elements that it reads, proved against the roots in the op's own leaf of the trace.
    function _values(OpCode.Op memory op, IJudge.ElementProof calldata proof)
        private
        view
        returns (bytes[] memory values)
    {
        uint256 count = op.operands.length;
        values = new bytes[](count);
        if (proof.reads.length != count || proof.output.sources.length != op.slot(count)) revert IJudge.BadPlace();
        uint256 only = op.kind == OneStep.STACK ? op.first(proof.index) : count;
        // The index of a GATHER comes after its table and says which element of it is read.
        for (uint256 i = count; i != 0; --i) {
            OpCode.Operand memory operand = op.operands[i - 1];
            if (operand.fixedValue || (only != count && only != i - 1)) continue;
            IJudge.Read calldata read = proof.reads[i - 1];
            _requireLeaves(proof.output.sources[op.slot(i - 1)], read, operand, i + 2);
            values[i - 1] = _read(op, i - 1, proof.index, read.leaves, values);
        }
    }

    function _requireLeaves(bytes32 root, IJudge.Read calldata read, OpCode.Operand memory operand, uint256 what)
        private
        view
    {
        uint256 size = uint256(operand.size) * OneStep.width(operand.dtype);
        for (uint256 i = 0; i < read.leaves.length; ++i) {
            Proofs.requireLeaf(root, size, read.leaves[i], what);
        }
    }

    function _read(
        OpCode.Op memory op,
        uint256 number,
        uint256 index,
        IJudge.Leaf[] calldata leaves,
        bytes[] memory values
    ) private pure returns (bytes memory out) {
        uint256 width = OneStep.width(op.operands[number].dtype);
        if (op.kind == OneStep.GATHER && number == 0) {
            uint256 row = _row(values[1], op.operands[1]);
            out = new bytes(width);
            _copy(leaves, OneStep.gathered(op, index, row) * width, out, 0, width, number);
            return out;
        }
        uint256 terms = OpCode.elements(op.extent);
        uint256 first = op.place(number, index);
        out = new bytes(terms * width);
        if (op.isDense(number)) {
            _copy(leaves, first * width, out, 0, terms * width, number);
            return out;
        }
        for (uint256 term = 0; term < terms; ++term) {
            _copy(leaves, (first + op.step(number, term)) * width, out, term * width, width, number);
        }
    }

    /// @dev The row that the index of a GATHER says; a constant says it in its descriptor. A negative one is beyond any table.
    function _row(bytes memory value, OpCode.Operand memory operand) private pure returns (uint256 row) {
        if (operand.fixedValue) return operand.bits;
        for (uint256 i = value.length; i != 0; --i) {
            row = (row << 8) | uint8(value[i - 1]);
        }
    }

    /// @dev Copies `size` bytes at `at` of a tensor out of the leaves that hold them.
    function _copy(
        IJudge.Leaf[] calldata leaves,
        uint256 at,
        bytes memory out,
        uint256 to,
        uint256 size,
        uint256 operand
    ) private pure {
        while (size != 0) {
            IJudge.Leaf calldata leaf = _leafAt(leaves, at / Proofs.LEAF_BYTES, operand);
            uint256 offset = at % Proofs.LEAF_BYTES;
            if (offset >= leaf.data.length) revert LeafMissing(operand, leaf.index);
            uint256 part = leaf.data.length - offset;
            if (part > size) part = size;
            bytes calldata data = leaf.data[offset:offset + part];
            assembly ("memory-safe") {
                calldatacopy(add(add(out, 32), to), data.offset, part)
            }
            (at, to, size) = (at + part, to + part, size - part);
        }
    }

    function _leafAt(IJudge.Leaf[] calldata leaves, uint256 index, uint256 operand)
        private
        pure
        returns (IJudge.Leaf calldata leaf)
    {
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaf = leaves[i];
            if (leaf.index == index) return leaf;
        }
        revert LeafMissing(operand, index);
    }

    function _slice(IJudge.Leaf calldata leaf, uint256 at, uint256 width) private pure returns (bytes calldata) {
        if (leaf.index != at / Proofs.LEAF_BYTES) revert IJudge.BadPlace();
        uint256 offset = at % Proofs.LEAF_BYTES;
        return leaf.data[offset:offset + width];
    }

    /// @dev A little-endian number.
    function _number(bytes calldata data) private pure returns (uint256 number) {
        for (uint256 i = data.length; i != 0; --i) {
            number = (number << 8) | uint8(data[i - 1]);
        }
    }
}
