// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Rfc9162
/// @notice Inclusion proofs of RFC 9162 (certificate transparency) Merkle trees over SHA-256.
/// @dev Leaf hash sha256(0x00 || data), node hash sha256(0x01 || left || right), indices from 0. The prefixes keep a
/// node from being passed off as a leaf.
library Rfc9162 {
    /// @notice Hash of a trace leaf: state root, batch root, loss (fp32 bits), step in the round; 72 bytes of data.
    function traceLeaf(bytes32 stateRoot, bytes32 batchRoot, uint32 lossBits, uint32 step)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(bytes1(0x00), stateRoot, batchRoot, lossBits, step));
    }

    /// @notice Hash of any leaf.
    function leafHash(bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), data));
    }

    /// @notice Whether `proof` shows `leaf` at `index` of the tree of `size` leaves under `root`.
    /// @dev RFC 9162 section 2.1.3.2. Index and size come from the caller's own commitment, never from the proof. One
    /// 65-byte buffer above the free memory pointer is reused by every level.
    /// @param leaf Hash of the leaf, not its data.
    function verifyInclusion(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata proof)
        internal
        view
        returns (bool ok)
    {
        if (index >= size) return false;
        assembly ("memory-safe") {
            let fn := index
            let sn := sub(size, 1)
            let node := leaf
            let buffer := mload(0x40)
            mstore8(buffer, 0x01)
            let left := add(buffer, 1)
            let right := add(buffer, 33)
            ok := 1
            let cursor := proof.offset
            let end := add(cursor, shl(5, proof.length))
            for { } lt(cursor, end) { cursor := add(cursor, 32) } {
                if iszero(sn) {
                    ok := 0
                    break
                }
                switch or(and(fn, 1), eq(fn, sn))
                case 0 {
                    mstore(left, node)
                    mstore(right, calldataload(cursor))
                }
                default {
                    mstore(left, calldataload(cursor))
                    mstore(right, node)
                    for { } iszero(or(and(fn, 1), iszero(fn))) { } {
                        fn := shr(1, fn)
                        sn := shr(1, sn)
                    }
                }
                fn := shr(1, fn)
                sn := shr(1, sn)
                // The precompile fails only for want of gas.
                if iszero(staticcall(gas(), 2, buffer, 65, 0x00, 32)) {
                    ok := 0
                    break
                }
                node := mload(0x00)
            }
            ok := and(ok, and(iszero(sn), eq(node, root)))
        }
    }

    /// @notice Root over up to 16 neighbouring nodes of one level: the node above them.
    function rootOf(bytes32[] calldata nodes) internal pure returns (bytes32) {
        bytes32[] memory level = nodes;
        uint256 size = level.length;
        while (size > 1) {
            for (uint256 i = 0; i + 1 < size; i += 2) {
                level[i / 2] = sha256(abi.encodePacked(bytes1(0x01), level[i], level[i + 1]));
            }
            // An odd last node moves up as it is.
            if (size % 2 != 0) level[size / 2] = level[size - 1];
            size = (size + 1) / 2;
        }
        return level[0];
    }

    /// @notice Root of `size` bytes of zeros as a tensor: leaves of 1,024 bytes.
    function zeroRoot(uint256 size) internal pure returns (bytes32 node) {
        uint256 leaves = (size + 1023) / 1024;
        // `full` is a node over full leaves only, `last` the one at the end of its level.
        bytes32 full = leafHash(new bytes(1024));
        bytes32 last = leafHash(new bytes(size - 1024 * (leaves - 1)));
        while (leaves > 1) {
            if (leaves % 2 == 0) last = sha256(abi.encodePacked(bytes1(0x01), full, last));
            full = sha256(abi.encodePacked(bytes1(0x01), full, full));
            leaves = (leaves + 1) / 2;
        }
        return last;
    }
}
