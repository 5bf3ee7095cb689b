// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Programs
/// @notice A network's programs under one hash. The same as consensus/program/suite.py.
library Programs {
    /// @notice See consensus.program.suite.Suite, field by field.
    struct Suite {
        uint256 tensors;
        uint256 stepOps;
        bytes32 stepRoot;
        uint256 updateOps;
        bytes32 updateRoot;
        uint256 outerCount;
        bytes32 outerRoot;
        uint256 scheduleSteps;
        bytes32 scheduleRoot;
        uint256 sequences;
        uint256 length;
        uint256 layerSegments;
        bytes32 layersRoot;
    }

    /// @notice What a claim did.
    enum Kind {
        Step,
        Update,
        Outer,
        Answer
    }

    /// @notice One program: its tree holds `ops` descriptors, then the ports of inputs, then those of outputs.
    /// @dev `tensors` are those of a set before it, `tensorsAfter` those of a set that it leaves.
    struct Layout {
        Kind kind;
        bytes32 root;
        uint256 ops;
        uint256 inputs;
        uint256 outputs;
        uint256 tensors;
        uint256 tensorsAfter;
    }

    uint256 private constant OPS_BITS = 20;
    uint256 private constant OPS_MASK = 0xfffff;

    /// @notice The claim's program hash of a suite.
    /// @dev A suite is static, so its calldata is its encoding: 13 words after a domain of 16 bytes.
    function hash(Suite calldata suite) internal view returns (bytes32 digest) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, "ponw/programs/1")
            calldatacopy(add(buffer, 16), suite, 416)
            // The precompile fails only for want of gas, and then this call has none left either.
            if iszero(staticcall(gas(), 2, buffer, 432, 0x00, 32)) { revert(0, 0) }
            digest := mload(0x00)
        }
    }

    /// @notice The step: weights and both moments, tokens and schedule in; weights, moments and loss out.
    function step(Suite calldata s) internal pure returns (Layout memory) {
        return Layout(Kind.Step, s.stepRoot, s.stepOps, 3 * s.tensors + 2, 3 * s.tensors + 1, s.tensors, s.tensors);
    }

    /// @notice The update: weights at the start and at the end in; their difference out.
    function update(Suite calldata s) internal pure returns (Layout memory) {
        return Layout(Kind.Update, s.updateRoot, s.updateOps, 2 * s.tensors, s.tensors, s.tensors, s.tensors);
    }

    /// @notice The outer step over `claims` claims: weights, velocity, updates and their weights in; the first two out.
    /// @param size Its ops in the lower 20 bits, and above them the tensors of a set afterwards where layers come or go.
    function outer(Suite calldata s, bytes32 root, uint256 size, uint256 claims) internal pure returns (Layout memory) {
        uint256 changed = size >> OPS_BITS;
        uint256 left = changed == 0 ? s.tensors : changed;
        uint256 ops = size & OPS_MASK;
        return Layout(Kind.Outer, root, ops, (2 + claims) * s.tensors + 1, 2 * left, s.tensors, left);
    }

    /// @notice One token of an answer: weights, context, its length, draw and factor in; the token out.
    /// @dev The step of a suite whose claims are ANSWERs.
    function answer(Suite calldata s) internal pure returns (Layout memory) {
        return Layout(Kind.Answer, s.stepRoot, s.stepOps, s.tensors + 4, 1, s.tensors, s.tensors);
    }

    /// @notice Leaves of a program's tree.
    function leaves(Layout memory layout) internal pure returns (uint256) {
        return layout.ops + layout.inputs + layout.outputs;
    }
}
