// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "../interfaces/IJudge.sol";
import { Programs } from "./Programs.sol";
import { Proofs } from "./Proofs.sol";

/// @title Dataset
/// @notice Which token of the dataset stands at a place of a batch. The same as consensus/training/batches.py.
library Dataset {
    /// @dev Bytes of a token in a batch and in a shard.
    uint256 private constant BATCH_WIDTH = 4;
    uint256 private constant TEXT_WIDTH = 2;

    /// @notice Whether a token of the batch is not the one that was drawn for its place.
    function isWrong(
        Dispute calldata d,
        Programs.Suite calldata suite,
        bytes32 randomness,
        IJudge.TokenProof calldata p
    ) internal view returns (bool) {
        uint256 size = suite.sequences * suite.length;
        if (p.index >= size) revert IJudge.BadPlace();
        Proofs.requireLeaf(d.batch, size * BATCH_WIDTH, p.leaf, 0);
        uint256 committed = _number(p.leaf, p.index, BATCH_WIDTH);
        return committed != _drawn(d, suite, randomness, p);
    }

    function _drawn(Dispute calldata d, Programs.Suite calldata suite, bytes32 randomness, IJudge.TokenProof calldata p)
        private
        view
        returns (uint256)
    {
        bytes32 head = sha256(abi.encodePacked("ponw/data/1", bytes1(0), p.shards, p.trainTokens, p.shardsRoot));
        if (head != d.claim.dataRoot) revert IJudge.NotProved(1);
        bytes32 shard = sha256(abi.encodePacked(bytes1(0), p.name, bytes1(0), p.first, p.tokens, p.root));
        Proofs.requireIn(p.shardsRoot, shard, p.shard, p.shards, p.shardProof, 2);
        uint256 at =
            _offset(d, randomness, p.index / suite.length, p.trainTokens + 1 - suite.length) + (p.index % suite.length);
        // Shards number their tokens one after the other, so only one holds this one.
        if (at < p.first || at - p.first >= p.tokens) revert IJudge.BadPlace();
        Proofs.requireLeaf(p.root, uint256(p.tokens) * TEXT_WIDTH, p.text, 3);
        return _number(p.text, at - p.first, TEXT_WIDTH);
    }

    /// @dev Where sequence `sequence` of the step begins in the training text.
    function _offset(Dispute calldata d, bytes32 randomness, uint256 sequence, uint256 limit)
        private
        pure
        returns (uint256)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint32 number = uint32(sequence);
        bytes32 draw = sha256(abi.encodePacked("ponw/batch/1", randomness, d.claim.node, d.step, number));
        return uint256(draw) % limit;
    }

    /// @dev Element `index` of a tensor, little-endian, from the leaf that holds it.
    function _number(IJudge.Leaf calldata leaf, uint256 index, uint256 width) private pure returns (uint256 number) {
        uint256 at = index * width;
        if (leaf.index != at / Proofs.LEAF_BYTES) revert IJudge.BadPlace();
        at %= Proofs.LEAF_BYTES;
        for (uint256 i = width; i != 0; --i) {
            number = (number << 8) | uint8(leaf.data[at + i - 1]);
        }
    }
}
