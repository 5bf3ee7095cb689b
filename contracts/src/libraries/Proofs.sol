// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IJudge } from "../interfaces/IJudge.sol";
import { Programs } from "./Programs.sol";
import { Rfc9162 } from "./Rfc9162.sol";

/// @title Proofs
/// @notice What a move of a dispute opens: descriptors and ports of a program, outputs of a trace, leaves of tensors and
/// states. Every index and size comes from the claim's program, so that consistent commitments never open to a lie.
library Proofs {
    using Programs for Programs.Layout;

    /// @notice Bytes of a tensor in one leaf.
    uint256 internal constant LEAF_BYTES = 1024;

    /// @notice Reverts with NotProved(what) unless `leaf` stands at `index` of `size` under `root`.
    function requireIn(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata proof, uint256 what)
        internal
        view
    {
        if (!Rfc9162.verifyInclusion(root, leaf, index, size, proof)) revert IJudge.NotProved(what);
    }

    /// @notice The descriptor of op `op` of a program.
    function requireDescriptor(
        Programs.Layout memory layout,
        uint256 op,
        bytes calldata data,
        bytes32[] calldata proof,
        uint256 what
    ) internal view {
        if (op >= layout.ops) revert IJudge.BadPlace();
        requireIn(layout.root, dataHash(data), op, layout.leaves(), proof, what);
    }

    /// @notice The leaf of op `op` in a trace of `ops`.
    function requireOutput(bytes32 trace, uint256 ops, uint256 op, IJudge.OutputRoot calldata output, uint256 what)
        internal
        view
    {
        bytes32 leaf = sha256(abi.encodePacked(bytes1(0), output.root, output.sources));
        requireIn(trace, leaf, op, ops, output.proof, what);
    }

    /// @notice A leaf of a tensor of `size` bytes.
    function requireLeaf(bytes32 root, uint256 size, IJudge.Leaf calldata leaf, uint256 what) internal view {
        requireIn(root, dataHash(leaf.data), leaf.index, leavesOf(size), leaf.proof, what);
    }

    /// @notice A tensor's leaf in set `set` of a state of `sets`; in a lone set of root `state` where `sets` is 0.
    function requirePath(
        bytes32 state,
        uint256 set,
        uint256 sets,
        uint256 tensor,
        uint256 tensors,
        IJudge.SetPath calldata path,
        uint256 what
    ) internal view {
        bytes32 root = state;
        if (sets != 0) {
            requireIn(state, rootHash(path.setRoot), set, sets, path.setProof, what);
            root = path.setRoot;
        }
        requireIn(root, path.leaf, tensor, tensors, path.leafProof, what + 1);
    }

    /// @notice Leaves of a tensor of `size` bytes.
    function leavesOf(uint256 size) internal pure returns (uint256) {
        return (size + LEAF_BYTES - 1) / LEAF_BYTES;
    }

    /// @notice Leaf hash of 32 bytes.
    function rootHash(bytes32 root) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), root));
    }

    /// @notice Leaf hash of data.
    function dataHash(bytes calldata data) internal view returns (bytes32 digest) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0)
            calldatacopy(add(buffer, 1), data.offset, data.length)
            // The precompile fails only for want of gas, and then this call has none left either.
            if iszero(staticcall(gas(), 2, buffer, add(data.length, 1), 0x00, 32)) { revert(0, 0) }
            digest := mload(0x00)
        }
    }
}
