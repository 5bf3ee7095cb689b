// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title MerkleTree
/// @notice Reference: RFC 9162 sections 2.1.1 (head) and 2.1.3.1 (path), word for word and recursive.
library MerkleTree {
    /// @notice MTH over leaf hashes [from, to).
    function head(bytes32[] memory leaves, uint256 from, uint256 to) internal pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 k = split(to - from);
        return sha256(abi.encodePacked(bytes1(0x01), head(leaves, from, from + k), head(leaves, from + k, to)));
    }

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return head(leaves, 0, leaves.length);
    }

    /// @notice PATH(m, D[n]): sibling heads from the leaf up.
    function path(bytes32[] memory leaves, uint256 m) internal pure returns (bytes32[] memory proof) {
        bytes32[] memory buffer = new bytes32[](256);
        uint256 n = _path(leaves, 0, leaves.length, m, buffer);
        proof = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            proof[i] = buffer[i];
        }
    }

    /// @notice The largest power of two below n, for n > 1.
    function split(uint256 n) internal pure returns (uint256 k) {
        k = 1;
        while (k << 1 < n) k <<= 1;
    }

    function _path(bytes32[] memory leaves, uint256 from, uint256 to, uint256 m, bytes32[] memory out)
        private
        pure
        returns (uint256 n)
    {
        if (to - from == 1) return 0;
        uint256 middle = from + split(to - from);
        if (m < middle) {
            n = _path(leaves, from, middle, m, out);
            out[n] = head(leaves, middle, to);
        } else {
            n = _path(leaves, middle, to, m, out);
            out[n] = head(leaves, from, middle);
        }
        return n + 1;
    }
}
