// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Life of a claim. Final and Lost are terminal.
enum ClaimState {
    None,
    Posted,
    Final,
    Lost
}

/// @notice A node's one storage slot: upper 30 bytes of its claim's hash, 8 bits of open challenges, a bit that is set
/// for a quorum's claim, 7 bits of state.
type NodeSlot is uint256;

using NodeSlotLib for NodeSlot global;

/// @title NodeSlotLib
/// @notice Packs and reads a {NodeSlot}.
library NodeSlotLib {
    /// @notice Most challenges that can be open on one claim.
    uint256 internal constant MAX_OPEN = 255;

    uint256 private constant STATUS = 0xffff;
    uint256 private constant QUORUM = 0x80;

    /// @notice The slot of claim `hash` in `state_` without open challenges.
    function pack(bytes32 hash, ClaimState state_) internal pure returns (NodeSlot) {
        return NodeSlot.wrap((uint256(hash) & ~STATUS) | uint256(state_));
    }

    /// @notice The slot of a posted claim `hash` of a quorum.
    function packQuorum(bytes32 hash) internal pure returns (NodeSlot) {
        return NodeSlot.wrap((uint256(hash) & ~STATUS) | QUORUM | uint256(ClaimState.Posted));
    }

    /// @notice Whether the claim in the slot is a quorum's, while it is posted.
    function ofQuorum(NodeSlot slot) internal pure returns (bool) {
        return NodeSlot.unwrap(slot) & QUORUM != 0;
    }

    /// @notice State of the claim in the slot.
    function state(NodeSlot slot) internal pure returns (ClaimState) {
        return ClaimState(NodeSlot.unwrap(slot) & 0x7f);
    }

    /// @notice Challenges open on the claim in the slot.
    function open(NodeSlot slot) internal pure returns (uint256) {
        return (NodeSlot.unwrap(slot) >> 8) & 0xff;
    }

    /// @notice Upper 30 bytes of the claim's hash, the rest zero.
    function prefix(NodeSlot slot) internal pure returns (bytes32) {
        return bytes32(NodeSlot.unwrap(slot) & ~STATUS);
    }

    /// @notice Whether the slot holds the claim `hash`.
    function holds(NodeSlot slot, bytes32 hash) internal pure returns (bool) {
        return (NodeSlot.unwrap(slot) ^ uint256(hash)) & ~STATUS == 0;
    }

    /// @notice One more open challenge. The caller has checked {MAX_OPEN}.
    function opened(NodeSlot slot) internal pure returns (NodeSlot) {
        return NodeSlot.wrap(NodeSlot.unwrap(slot) + 0x100);
    }

    /// @notice One open challenge less. The caller knows that one is open.
    function closed(NodeSlot slot) internal pure returns (NodeSlot) {
        return NodeSlot.wrap(NodeSlot.unwrap(slot) - 0x100);
    }
}
