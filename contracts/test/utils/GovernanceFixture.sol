// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { Change, IVocabulary, Motion, Terms } from "../../src/interfaces/IVocabulary.sol";
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

    /// @dev Terms by the hash that the chain has: what the log keeps.
    mapping(bytes32 hash => Terms) private _published;

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

    function _termsOf(Change memory c) internal pure returns (Terms memory) {
        return Terms(c.programHash, c.growHash, c.shrinkHash, c.dataRoot, keccak256(c.merges));
    }

    /// @dev The terms that the network was deployed with.
    function _firstTerms() internal pure returns (Terms memory) {
        return Terms(keccak256("program"), 0, 0, keccak256("data"), keccak256(""));
    }

    function _motion(Change memory change, address proposer) internal view returns (Motion memory) {
        uint256 size = vocabulary.versionOf(change.parent).size + change.merges.length / 8;
        return Motion(keccak256(abi.encode(_termsOf(change))), change.parent, uint16(size), proposer);
    }

    function _uriHash() internal pure returns (bytes32) {
        return keccak256(bytes(URI));
    }

    function _idOf(Change memory change, address proposer) internal view returns (uint256) {
        return governor.idOf(_motion(change, proposer), _uriHash());
    }

    function _publish(Change memory change) internal {
        _published[keccak256(abi.encode(_termsOf(change)))] = _termsOf(change);
    }

    // --- votes ---

    function _bond(address proposer, Change memory change) internal returns (uint256 id) {
        id = _idOf(change, proposer);
        vm.prank(proposer);
        governor.bond(id);
    }

    /// @dev What a bond was named for.
    function _submit(address proposer, Change memory change) internal returns (uint256) {
        vm.prank(proposer);
        return governor.proposeChange(change, URI);
    }

    function _propose(address proposer, Change memory change) internal returns (uint256 id) {
        _publish(change);
        _bond(proposer, change);
        return _submit(proposer, change);
    }

    function _queue(Change memory change, address proposer) internal {
        governor.queueChange(_motion(change, proposer), _uriHash());
    }

    function _execute(Change memory change, address proposer) internal {
        governor.executeChange(_motion(change, proposer), _uriHash());
    }

    /// @dev An activation without a vote: the test plays the governor.
    function _activate(Change memory change, address proposer) internal returns (uint16) {
        _publish(change);
        Motion memory motion = _motion(change, proposer);
        vm.prank(address(governor));
        return vocabulary.activate(motion);
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
        _queue(change, proposer);
        _skip(GRACE);
    }

    /// @dev The whole way: the change's version is the target.
    function _activated(address proposer, Change memory change) internal returns (uint16 version) {
        _queued(proposer, change);
        _execute(change, proposer);
        (, version) = vocabulary.state();
    }

    function _unexpected(uint256 id, IGovernor.ProposalState now_, IGovernor.ProposalState wanted)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IGovernor.GovernorUnexpectedProposalState.selector, id, now_, bytes32(uint256(1) << uint8(wanted))
        );
    }

    /// @dev The whole way of an emergency vote, opened and cast by one account.
    function _takenBack(uint16 version, address by) internal {
        vm.prank(by);
        uint256 id = emergency.proposeRollback(version, "it is wrong");
        _skip(1);
        vm.prank(by);
        emergency.castVote(id, FOR);
        _skip(EMERGENCY);
        emergency.executeRollback(version);
    }

    // --- rounds ---

    /// @dev Opens the next round as a node does: with the terms from the log where the registry asks for them.
    function _open() internal virtual {
        try registry.openRound() { }
        catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IVocabulary.WrongTerms.selector, "not for want of terms");
            registry.openRoundWith(_wanted(reason));
        }
    }

    /// @dev The terms of the version that a WrongTerms names.
    function _wanted(bytes memory reason) internal view returns (Terms memory) {
        uint256 version;
        assembly ("memory-safe") {
            version := mload(add(reason, 36))
        }
        return _termsAt(uint16(version));
    }

    function _termsAt(uint16 version) internal view returns (Terms memory) {
        return version == 0 ? _firstTerms() : _published[vocabulary.versionOf(version).terms];
    }

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
        _open();
        _step(nextRoot);
    }

    function _assertPlace(uint16 current, uint16 target) internal view {
        (uint16 c, uint16 t) = vocabulary.state();
        vm.assertEq(c, current, "current version");
        vm.assertEq(t, target, "target version");
    }
}
