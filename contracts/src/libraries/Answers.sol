// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "../interfaces/IJudge.sol";
import { Proofs } from "./Proofs.sol";
import { Rfc9162 } from "./Rfc9162.sol";

/// @title Answers
/// @notice What a token of an answer must follow from. The same as consensus/program/infer.py.
/// @dev An ANSWER claim holds, as {Claim} names its fields: round, the time it was signed; dataRoot, the prompt's root;
/// startRoot, the model's global root; endRoot, the request; updateRoot, the seed of its draws; traceRoot, a leaf a token:
/// 0, root of its context, token, number; steps, the tokens of the answer; tokens, the fp32 bits of the factor on logits in
/// the upper 32 bits, the tokens of the prompt in the lower; base, 0.
/// Casts keep the bits that a part of a number has.
// forge-lint: disable-next-item(unsafe-typecast)
library Answers {
    /// @dev Bytes of a token in a context and in a prompt.
    uint256 private constant WIDTH = 4;

    /// @notice Root of input `number` of a token's program after the weights: context, length, draw, factor.
    function inputRoot(Dispute calldata d, uint256 number) internal pure returns (bytes32) {
        if (number == 0) return d.batch;
        if (number == 1) return wordRoot(_length(d));
        uint32 factor = uint32(d.claim.tokens >> 32);
        if (number == 3) return wordRoot(factor);
        uint64 draw = factor == 0 ? 0 : drawOf(d.claim.updateRoot, d.step);
        return sha256(
            abi.encodePacked(
                bytes1(0),
                _turned(uint16(draw)),
                _turned(uint16(draw >> 16)),
                _turned(uint16(draw >> 32)),
                _turned(uint16(draw >> 48))
            )
        );
    }

    /// @notice Root of the output of a token's program: one int64.
    function tokenRoot(uint32 token) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), _turned(token), uint32(0)));
    }

    /// @notice Root of a tensor of one element of four bytes.
    function wordRoot(uint32 bits) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), _turned(bits)));
    }

    /// @notice The 64 bits that choose token `index`; consensus.inference.sampling.draw.
    function drawOf(bytes32 seed, uint32 index) internal pure returns (uint64) {
        return uint64(bytes8(sha256(abi.encodePacked("ponw/sample/1", bytes1(0), seed, index))));
    }

    /// @notice Whether a token of the context is not the one that prompt and answer have there.
    /// @param places Tokens of a context.
    function isWrong(Dispute calldata d, uint256 places, IJudge.ContextProof calldata p) internal view returns (bool) {
        if (p.index >= places) revert IJudge.BadPlace();
        Proofs.requireLeaf(d.batch, WIDTH * places, p.leaf, 0);
        return _number(p.leaf, p.index) != _right(d, p);
    }

    function _right(Dispute calldata d, IJudge.ContextProof calldata p) private view returns (uint256) {
        uint256 prompt = uint32(d.claim.tokens);
        if (p.index >= _length(d)) return 0;
        if (p.index < prompt) {
            Proofs.requireLeaf(d.claim.dataRoot, WIDTH * prompt, p.prompt, 1);
            return _number(p.prompt, p.index);
        }
        uint32 step = uint32(p.index - prompt);
        bytes32 leaf = Rfc9162.traceLeaf(p.stateRoot, p.batchRoot, p.token, step);
        Proofs.requireIn(d.claim.traceRoot, leaf, step, d.claim.steps, p.proof, 1);
        return p.token;
    }

    /// @dev Tokens before the one in question.
    function _length(Dispute calldata d) private pure returns (uint32) {
        return uint32(d.claim.tokens) + d.step;
    }

    /// @dev Token `index`, little-endian, from the leaf that holds it.
    function _number(IJudge.Leaf calldata leaf, uint256 index) private pure returns (uint256) {
        uint256 at = index * WIDTH;
        if (leaf.index != at / Proofs.LEAF_BYTES) revert IJudge.BadPlace();
        at %= Proofs.LEAF_BYTES;
        return _turned(uint32(bytes4(leaf.data[at:at + WIDTH])));
    }

    /// @dev Its bytes in the other order.
    function _turned(uint32 bits) private pure returns (uint32 turned) {
        turned = ((bits & 0xff00ff00) >> 8) | ((bits & 0x00ff00ff) << 8);
        turned = (turned >> 16) | (turned << 16);
    }
}
