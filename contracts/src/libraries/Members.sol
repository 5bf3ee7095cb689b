// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IQuorums } from "../interfaces/IQuorums.sol";
import { Programs } from "./Programs.sol";
import { Rfc9162 } from "./Rfc9162.sol";

/// @title Members
/// @notice What a session's members must be, and which of them an op belongs to.
library Members {
    /// @notice Most members of a session.
    uint256 internal constant MAX = 16;

    bytes32 private constant TYPEHASH = keccak256("Member(address account,uint16 firstLayer,uint16 layerCount)");

    /// @notice The layers that the members hold together. Reverts unless their ranges follow one another from layer 0 on, no
    /// account stands twice, and the leader is one of them.
    function check(IQuorums.Member[] calldata members, address leader) internal pure returns (uint16) {
        if (members.length == 0 || members.length > MAX) revert IQuorums.WrongSize(members.length);
        uint256 next = 0;
        bool led = false;
        for (uint256 i = 0; i < members.length; ++i) {
            IQuorums.Member calldata member = members[i];
            if (member.firstLayer != next || member.layerCount == 0) revert IQuorums.WrongRange(i);
            next += member.layerCount;
            if (member.account == leader) led = true;
            for (uint256 j = 0; j < i; ++j) {
                if (members[j].account == member.account) revert IQuorums.DuplicateMember(member.account);
            }
        }
        if (next > type(uint16).max) revert IQuorums.OtherLayers(next, type(uint16).max);
        if (!led) revert IQuorums.LeaderNotMember(leader);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint16(next);
    }

    /// @notice EIP-712 hash of the array of members.
    function hash(IQuorums.Member[] calldata members) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](members.length);
        for (uint256 i = 0; i < members.length; ++i) {
            IQuorums.Member calldata m = members[i];
            hashes[i] = keccak256(abi.encode(TYPEHASH, m.account, m.firstLayer, m.layerCount));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    /// @notice Reverts unless op `op` is in `segment`, and that is row `index` of the suite's table of layers.
    /// @dev A row: first op, last op (u32 BE each), layer (u16 BE).
    function checkSegment(
        Programs.Suite calldata suite,
        IQuorums.Segment calldata segment,
        uint256 index,
        bytes32[] calldata proof,
        uint32 op
    ) internal view {
        bytes32 leaf = Rfc9162.leafHash(abi.encodePacked(segment.first, segment.last, segment.layer));
        bool there = Rfc9162.verifyInclusion(suite.layersRoot, leaf, index, suite.layerSegments, proof);
        if (!there || op < segment.first || op > segment.last) revert IQuorums.WrongSegment(op);
    }

    /// @notice The index of the member that holds `layer`, which some member does.
    function holderOf(IQuorums.Member[] calldata members, uint256 layer) internal pure returns (uint256 index) {
        while (layer >= uint256(members[index].firstLayer) + members[index].layerCount) ++index;
    }
}
