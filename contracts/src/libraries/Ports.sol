// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "../interfaces/IJudge.sol";
import { Answers } from "./Answers.sol";
import { OneStep } from "./OneStep.sol";
import { OpCode } from "./OpCode.sol";
import { Programs } from "./Programs.sol";
import { Proofs } from "./Proofs.sol";
import { Rfc9162 } from "./Rfc9162.sol";

/// @title Ports
/// @notice Where a program meets the states: its inputs, its outputs, and the trees that a prover may be asked about.
/// @dev Shifts of 1 are powers of two.
// forge-lint: disable-next-item(incorrect-shift)
library Ports {
    using OpCode for OpCode.Op;
    using Programs for Programs.Layout;

    /// @dev op (u32) and size in bytes (u64) stand before the head.
    uint256 private constant HEAD_AT = 12;

    /// @notice Reverts with NothingWrong where input `proof.port` of the trace is what it should be.
    function checkInput(
        Dispute calldata d,
        Programs.Layout memory layout,
        Programs.Suite calldata suite,
        IJudge.PortProof calldata proof
    ) internal view {
        if (proof.port >= layout.inputs) revert IJudge.BadPlace();
        bytes memory head = requirePort(d, layout, layout.ops + proof.port, proof);
        if (_expected(d, layout, suite, proof, head)) revert IJudge.NothingWrong();
    }

    /// @notice Reverts with NothingWrong where output `proof.port` of the trace is in the state after the step.
    function checkOutput(Dispute calldata d, Programs.Layout memory layout, IJudge.PortProof calldata proof)
        internal
        view
    {
        if (proof.port >= layout.outputs) revert IJudge.BadPlace();
        bytes memory head = requirePort(d, layout, layout.ops + layout.inputs + proof.port, proof);
        (uint256 set, uint256 tensor) = (proof.port / layout.tensorsAfter, proof.port % layout.tensorsAfter);
        bool same;
        if (layout.kind == Programs.Kind.Answer) {
            same = proof.output.root == Answers.tokenRoot(d.lossBits);
        } else if (layout.kind == Programs.Kind.Step && set == 3) {
            same = proof.output.root == Answers.wordRoot(d.lossBits);
        } else {
            Proofs.requirePath(d.afterStep, set, _setsAfter(layout.kind), tensor, layout.tensorsAfter, proof.path, 2);
            same = proof.path.leaf == tensorLeaf(head, proof.output.root);
        }
        if (same) revert IJudge.NothingWrong();
    }

    /// @notice Reverts with NothingWrong where a leaf of the trace names the root of what its op reads as that op's leaf does.
    function checkSource(Dispute calldata d, Programs.Layout memory layout, IJudge.SourceProof calldata proof)
        internal
        view
    {
        Proofs.requireDescriptor(layout, proof.op, proof.descriptor, proof.descriptorProof, 0);
        Proofs.requireOutput(d.trace, layout.ops, proof.op, proof.output, 1);
        OpCode.Op memory op = OpCode.parse(proof.descriptor);
        uint256 slot = 0;
        for (uint256 i = 0; i < op.operands.length; ++i) {
            if (op.operands[i].fixedValue) continue;
            if (slot++ != proof.slot) continue;
            Proofs.requireOutput(d.trace, layout.ops, op.operands[i].source, proof.source, 2);
            if (proof.output.sources[proof.slot] == proof.source.root) revert IJudge.NothingWrong();
            return;
        }
        revert IJudge.BadPlace();
    }

    /// @notice Checks a port at leaf `at` of the program and its output's root in the trace; gives the port's head.
    function requirePort(Dispute calldata d, Programs.Layout memory layout, uint256 at, IJudge.PortProof calldata proof)
        internal
        view
        returns (bytes memory head)
    {
        Proofs.requireIn(layout.root, Proofs.dataHash(proof.data), at, layout.leaves(), proof.proof, 0);
        Proofs.requireOutput(d.trace, layout.ops, uint32(bytes4(proof.data[:4])), proof.output, 1);
        return proof.data[HEAD_AT:];
    }

    /// @notice The leaf of a tensor in its set.
    function tensorLeaf(bytes memory head, bytes32 root) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), head, root));
    }

    /// @notice What a prover must reveal of a node: `count` nodes below it, or where it is a leaf its `length` bytes.
    function below(Dispute calldata d, Programs.Layout memory layout, IJudge.Demand calldata wanted)
        internal
        view
        returns (uint256 count, uint256 length)
    {
        (bytes32 root, uint256 leaves, uint256 size) = _tree(d, layout, wanted);
        uint256 level = wanted.level;
        if (level > 63) revert IJudge.BadPlace();
        uint256 nodes = (leaves + (1 << level) - 1) >> level;
        Proofs.requireIn(root, wanted.node, wanted.index, nodes, wanted.proof, 10);
        if (level == 0) {
            // What a set's leaf holds is known: it need only differ.
            if (wanted.tree == IJudge.Tree.Set) revert IJudge.BadPlace();
            if (wanted.tree == IJudge.Tree.Trace) return (0, _traceLeaf(layout, wanted));
            if (wanted.tree == IJudge.Tree.Sets) return (0, 32);
            if (wanted.tree == IJudge.Tree.Steps) return (0, 72);
            uint256 from = wanted.index * Proofs.LEAF_BYTES;
            return (0, size - from < Proofs.LEAF_BYTES ? size - from : Proofs.LEAF_BYTES);
        }
        uint256 down = level < 4 ? level : 4;
        uint256 there = (leaves + (1 << (level - down)) - 1) >> (level - down);
        uint256 first = wanted.index << down;
        count = there - first < 1 << down ? there - first : 1 << down;
    }

    /// @dev Bytes of a leaf of the trace: a root for the op's output, and one for every operand that reads an output.
    function _traceLeaf(Programs.Layout memory layout, IJudge.Demand calldata wanted) private view returns (uint256) {
        Proofs.requireDescriptor(layout, wanted.index, wanted.descriptor, wanted.descriptorProof, 12);
        OpCode.Op memory op = OpCode.parse(wanted.descriptor);
        return 32 * (1 + op.slot(op.operands.length));
    }

    /// @dev Root, leaves and bytes of the tree that is asked about.
    function _tree(Dispute calldata d, Programs.Layout memory layout, IJudge.Demand calldata wanted)
        private
        view
        returns (bytes32 root, uint256 leaves, uint256 size)
    {
        uint256 sets = _setsAfter(layout.kind);
        bool ofState = wanted.tree == IJudge.Tree.Sets || wanted.tree == IJudge.Tree.Set;
        // An answer leaves no state.
        if (ofState && layout.kind == Programs.Kind.Answer) revert IJudge.BadPlace();
        if (wanted.tree == IJudge.Tree.Trace) return (d.trace, layout.ops, 0);
        if (wanted.tree == IJudge.Tree.Steps) return (d.claim.traceRoot, d.claim.steps, 0);
        if (wanted.tree == IJudge.Tree.Sets) {
            if (sets == 0) revert IJudge.BadPlace();
            return (d.afterStep, sets, 0);
        }
        if (wanted.tree == IJudge.Tree.Set) {
            if (sets == 0) return (d.afterStep, layout.tensorsAfter, 0);
            IJudge.SetPath calldata path = wanted.path;
            Proofs.requireIn(d.afterStep, Proofs.rootHash(path.setRoot), wanted.set, sets, path.setProof, 11);
            return (path.setRoot, layout.tensorsAfter, 0);
        }
        Proofs.requireDescriptor(layout, wanted.op, wanted.descriptor, wanted.descriptorProof, 12);
        Proofs.requireOutput(d.trace, layout.ops, wanted.op, wanted.output, 13);
        OpCode.Op memory op = OpCode.parse(wanted.descriptor);
        size = OpCode.elements(op.shape) * OneStep.width(op.dtype);
        return (wanted.output.root, Proofs.leavesOf(size), size);
    }

    /// @dev Whether the input's root is that of the state, batch or schedule which the claim names.
    function _expected(
        Dispute calldata d,
        Programs.Layout memory layout,
        Programs.Suite calldata suite,
        IJudge.PortProof calldata proof,
        bytes memory head
    ) private view returns (bool) {
        bytes32 root = proof.output.root;
        (uint256 set, uint256 tensor) = (proof.port / layout.tensors, proof.port % layout.tensors);
        if (layout.kind == Programs.Kind.Answer && set != 0) return root == Answers.inputRoot(d, tensor);
        if (layout.kind == Programs.Kind.Step) {
            if (proof.port == 3 * layout.tensors) return root == d.batch;
            if (proof.port > 3 * layout.tensors) {
                Proofs.requireIn(
                    suite.scheduleRoot, proof.path.leaf, d.step, suite.scheduleSteps, proof.path.leafProof, 4
                );
                return root == proof.path.leaf;
            }
            // A round starts from the global weights and from moments of zero.
            if (d.step == 0 && set != 0) return root == Rfc9162.zeroRoot(uint64(bytes8(proof.data[4:HEAD_AT])));
        }
        // A global state has two sets, the state after a step three; an update reads the weights of one of each.
        (bytes32 state, uint256 sets) = (d.before, layout.kind == Programs.Kind.Step && d.step != 0 ? 3 : 2);
        if (layout.kind == Programs.Kind.Update) {
            if (set == 1) (state, sets) = (d.claim.endRoot, 3);
            set = 0;
        }
        Proofs.requirePath(state, set, sets, tensor, layout.tensors, proof.path, 2);
        return proof.path.leaf == tensorLeaf(head, root);
    }

    /// @dev Sets of the state after a step; 0 where that is a lone set.
    function _setsAfter(Programs.Kind kind) private pure returns (uint256) {
        return kind == Programs.Kind.Step ? 3 : kind == Programs.Kind.Outer ? 2 : 0;
    }
}
