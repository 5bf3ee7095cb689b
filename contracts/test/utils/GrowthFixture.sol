// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Age, Change, Growth, IVocabulary, Motion } from "../../src/interfaces/IVocabulary.sol";
import { GovernanceAttackFixture } from "./GovernanceAttackFixture.sol";

/// @notice The governance fixture with growths of layers, from 6 to 9 first.
abstract contract GrowthFixture is GovernanceAttackFixture {
    uint32 internal constant ROUND_STEPS = 400;
    uint256 internal constant YOUNG = 3;
    uint48 internal constant TEN_MINUTES = 600;

    /// @dev Encoded growths by their hash: what the log keeps.
    mapping(bytes32 hash => bytes) private _growths;

    function _young(uint16 parent, uint256 rounds) internal pure returns (Age[] memory young) {
        young = new Age[](rounds);
        for (uint256 i = 0; i < rounds; ++i) {
            young[i] = Age(keccak256(abi.encode("young", parent, i)), keccak256(abi.encode("shrinks", parent, i)));
        }
    }

    function _growth() internal view returns (Growth memory) {
        (uint16 current,) = vocabulary.state();
        return Growth(1, uint64(time), ROUND_STEPS, _layers(), _layers() + 3, _young(current, YOUNG));
    }

    function _grow(Growth memory growth) internal view returns (Change memory change) {
        (uint16 current,) = vocabulary.state();
        (, bytes32 dataRoot) = vocabulary.terms();
        change = _change(current, abi.encode(growth));
        change.dataRoot = dataRoot;
    }

    function _grow() internal view returns (Change memory) {
        return _grow(_growth());
    }

    /// @dev A growth of version 0, whose rows it keeps.
    function _deepMotion(Change memory change, address proposer) internal pure returns (Motion memory) {
        return Motion(keccak256(abi.encode(_termsOf(change))), change.parent, 264, proposer);
    }

    function _proposeGrowth(address proposer, Change memory change) internal returns (uint256 id) {
        _publish(change);
        _growths[keccak256(change.merges)] = change.merges;
        vm.prank(proposer);
        return growths.proposeGrowth(change, URI);
    }

    function _approveGrowth(uint256 id) internal {
        vm.prank(alice);
        growths.castVote(id, FOR);
        vm.prank(bob);
        growths.castVote(id, FOR);
    }

    function _passedGrowth(address proposer, Change memory change) internal returns (uint256 id) {
        id = _proposeGrowth(proposer, change);
        _skip(DISCUSSION + 1);
        _approveGrowth(id);
        _skip(VOTE);
    }

    function _announced(address proposer, Change memory change) internal returns (uint256 id) {
        id = _passedGrowth(proposer, change);
        growths.announce(_deepMotion(change, proposer), _uriHash());
    }

    function _decide(Change memory change, address proposer) internal {
        growths.decide(_deepMotion(change, proposer), _uriHash());
    }

    function _pledge(address account, uint256 id) internal {
        uint16 layers = growths.planOf(id).layers;
        vm.prank(account);
        growths.pledge(id, layers, 3, 2);
    }

    /// @dev The whole way: the growth's version is the target.
    function _deepened(address proposer, Change memory change) internal returns (uint16 version) {
        uint256 id = _announced(proposer, change);
        _pledge(bob, id);
        _skip(TEN_MINUTES);
        _decide(change, proposer);
        (, version) = vocabulary.state();
    }

    /// @dev Opens the next round as a node does: with terms and growth from the log where the registry asks for them.
    function _open() internal override {
        try registry.openRound() { }
        catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IVocabulary.WrongTerms.selector, "not for want of terms");
            registry.openRoundGrown(_wanted(reason), _growths[_wanted(reason).mergesHash]);
        }
    }

    function _programHash() internal view returns (bytes32 programHash) {
        (programHash,) = vocabulary.terms();
    }

    function _assertDepth(uint16 layers, uint16 leads, uint8 young) internal view {
        (uint16 l, uint16 n, uint8 y) = vocabulary.depth();
        vm.assertEq(l, layers, "layers");
        vm.assertEq(n, leads, "layers that it leads to");
        vm.assertEq(y, young, "young rounds");
        vm.assertEq(registry.roundOf(registry.currentRound()).layers, layers, "the round's layers");
        vm.assertEq(registry.roundOf(registry.currentRound()).young, young, "the round's youth");
    }

    /// @dev A round whose claims are of `layers`, whose outer step is taken.
    function _deepRound(bytes32 nextRoot, uint16 layers, uint16 leads, uint8 young, bytes32 programHash) internal {
        _open();
        _assertDepth(layers, leads, young);
        vm.assertEq(_programHash(), programHash);
        _step(nextRoot);
    }
}
