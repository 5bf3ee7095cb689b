// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Change } from "../../src/interfaces/IVocabulary.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { Fixture } from "./Fixture.sol";

/// @title GovernanceFixture
/// @notice A deployed network whose stakers change the vocabulary. Alice, Bob and Carol have a third of the stake each.
abstract contract GovernanceFixture is Fixture {
    uint8 internal constant AGAINST = 0;
    uint8 internal constant FOR = 1;
    uint8 internal constant ABSTAIN = 2;
    string internal constant URI = "https://example.org/change.json";

    uint256 internal constant ALICE_KEY = 0xA11CE;

    function setUp() public virtual override {
        super.setUp();
        _skip(1); // past votes are those of the second before
    }

    // --- changes ---

    function _merge(uint256 left, uint256 right, uint256 occurrences) internal pure returns (bytes memory) {
        return abi.encodePacked(uint16(left), uint16(right), uint32(occurrences));
    }

    function _merges(uint256 count) internal pure returns (bytes memory merges) {
        merges = new bytes(8 * count);
        for (uint256 i = 0; i < count; ++i) {
            bytes memory one = _merge(i % 256, (7 * i) % 256, 1001 + i);
            for (uint256 j = 0; j < 8; ++j) {
                merges[8 * i + j] = one[j];
            }
        }
    }

    function _change(uint16 parent, bytes memory merges) internal pure returns (Change memory) {
        return Change({
            parent: parent,
            programHash: keccak256(abi.encode("program", parent, merges)),
            growHash: keccak256(abi.encode("grow", parent, merges)),
            shrinkHash: keccak256(abi.encode("shrink", parent, merges)),
            dataRoot: keccak256(abi.encode("data", parent, merges)),
            merges: merges
        });
    }

    function _change() internal view returns (Change memory) {
        (uint16 current,) = vocabulary.state();
        return _change(current, _merges(2));
    }

    // --- votes ---

    function _propose(address proposer, Change memory change) internal returns (uint256 id) {
        vm.prank(proposer);
        return governor.proposeChange(change, URI);
    }

    function _vote(address voter, uint256 id, uint8 support) internal {
        vm.prank(voter);
        governor.castVote(id, support);
    }

    /// @dev Proposed, discussed, and voted for by `voter` and Alice.
    function _passed(address proposer, Change memory change) internal returns (uint256 id) {
        id = _propose(proposer, change);
        _skip(DISCUSSION + 1);
        _vote(alice, id, FOR);
        _vote(bob, id, FOR);
        _skip(VOTE);
    }

    function _queued(address proposer, Change memory change) internal returns (uint256 id) {
        id = _passed(proposer, change);
        governor.queueChange(change, proposer, URI);
        _skip(GRACE);
    }

    /// @dev The whole way: the change's version is the target.
    function _activated(address proposer, Change memory change) internal returns (uint16 version) {
        _queued(proposer, change);
        governor.executeChange(change, proposer, URI);
        (, version) = vocabulary.state();
    }

    /// @dev The whole way of an emergency vote, opened by Carol.
    function _takenBack(uint16 version) internal {
        vm.prank(carol);
        uint256 id = emergency.proposeRollback(version, "it is wrong");
        _skip(1);
        vm.prank(carol);
        emergency.castVote(id, FOR);
        _skip(EMERGENCY);
        emergency.executeRollback(version);
    }

    // --- rounds ---

    /// @dev The newest round ends with an outer step.
    function _step(bytes32 nextRoot) internal {
        Claim memory c = _train(alice, 3);
        _post(c);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(bob, nextRoot);
        _post(outer);
        _skip(WINDOW + 1);
        registry.finalise(outer);
    }

    function _round(bytes32 nextRoot) internal {
        registry.openRound();
        _step(nextRoot);
    }

    function _assertPlace(uint16 current, uint16 target) internal view {
        (uint16 c, uint16 t) = vocabulary.state();
        vm.assertEq(c, current, "current version");
        vm.assertEq(t, target, "target version");
    }
}
