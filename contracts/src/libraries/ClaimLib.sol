// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A node's statement of work, as EIP-712 types it.
/// @param kind 1 TRAIN, 2 OUTER, 3 ANSWER; what the fields of an ANSWER hold stands in {Answers}.
/// @param round Round number, from 1.
/// @param node The account whose stake answers for the claim.
/// @param programHash Hash of the step program.
/// @param dataRoot Root of the dataset tree.
/// @param startRoot Global root the round starts from.
/// @param endRoot TRAIN: state root after the last step. OUTER: the next global root.
/// @param traceRoot RFC 9162 root over one leaf a step.
/// @param updateRoot TRAIN: root of start weights - end weights. OUTER: the round's finalSet.
/// @param steps Steps done, and leaves in the trace.
/// @param tokens Tokens seen: steps * tokensPerStep; 0 in an OUTER claim.
/// @param firstLayer First layer held.
/// @param layerCount Layers held.
/// @param base The round whose start the work began from: its own, or an earlier one where the claim is late. 0 in an ANSWER.
struct Claim {
    uint8 kind;
    uint64 round;
    address node;
    bytes32 programHash;
    bytes32 dataRoot;
    bytes32 startRoot;
    bytes32 endRoot;
    bytes32 traceRoot;
    bytes32 updateRoot;
    uint32 steps;
    uint64 tokens;
    uint16 firstLayer;
    uint16 layerCount;
    uint64 base;
}

/// @title ClaimLib
/// @notice Claim kinds and the EIP-712 struct hash of a claim.
library ClaimLib {
    /// @notice A round's training work.
    uint8 internal constant TRAIN = 1;
    /// @notice A round's outer step: the next global root.
    uint8 internal constant OUTER = 2;
    /// @notice An answer to a prompt, one step a token. It is signed, and never posted.
    uint8 internal constant ANSWER = 3;
    /// @notice Stands for the op of a ruling that is about none, or about no TRAIN claim.
    uint32 internal constant NO_OP = type(uint32).max;

    /// @notice EIP-712 type hash of {Claim}.
    bytes32 internal constant TYPEHASH = keccak256(
        "Claim(uint8 kind,uint64 round,address node,bytes32 programHash,bytes32 dataRoot,bytes32 startRoot,bytes32 endRoot,bytes32 traceRoot,bytes32 updateRoot,uint32 steps,uint64 tokens,uint16 firstLayer,uint16 layerCount,uint64 base)"
    );

    /// @notice EIP-712 hashStruct of `claim`.
    /// @dev Every member is a static value type, so the ABI encoding is the EIP-712 encoding.
    /// It is copied as it came: bits beyond a member's type make it the hash of no claim that was ever posted.
    function structHash(Claim calldata claim) internal pure returns (bytes32 digest) {
        bytes32 typeHash = TYPEHASH;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, typeHash)
            calldatacopy(add(buffer, 32), claim, 448)
            digest := keccak256(buffer, 480)
        }
    }

    /// @notice keccak256(programHash || dataRoot || startRoot || layerCount as a word).
    function termsOf(Claim calldata claim) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            calldatacopy(buffer, add(claim, 96), 96)
            mstore(add(buffer, 96), calldataload(add(claim, 384)))
            digest := keccak256(buffer, 128)
        }
    }
}
