// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Change } from "../../src/interfaces/IVocabulary.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { GrowthFixture } from "../utils/GrowthFixture.sol";

/// @notice Late claims of work in terms that the network has left, one attack a test.
contract LateTermsAttacksTest is GrowthFixture {
    function _refusedFrom(uint64 base) private {
        Claim memory c = _late(carol, 3, base);
        vm.expectRevert(_wrongBase(base));
        _post(c);
    }

    /// @dev `c` as claims of its base were made.
    function _refused(Claim memory c, uint64 base) private {
        c.round = registry.currentRound();
        vm.expectRevert(_wrongBase(base));
        _post(c);
    }

    function test_attack_base_with_other_terms_of_another_vocabulary() public {
        _open();
        Claim memory old = _train(carol, 3);
        _step("one");
        Change memory change = _change();
        _activated(carol, change);
        _open();
        _refusedFrom(1);
        _refused(old, 1);
        Claim memory between = _train(carol, 3);
        _step("grows");
        _open();
        _assertPlace(1, 1);
        _refusedFrom(1);
        _refusedFrom(2);
        _refused(old, 1);
        _refused(between, 2);
    }

    function test_attack_base_with_other_terms_of_fewer_layers() public {
        _open();
        Claim memory old = _train(carol, 3);
        _step("one");
        _deepened(carol, _grow());
        _open();
        _refused(old, 1);
        Claim memory between = _train(carol, 3);
        _step("grows");
        _open();
        Claim memory young = _train(carol, 3);
        vm.assertEq(young.layerCount, 9);
        _refused(old, 1);
        _refused(between, 2);
        _step("young 0");
        // Layers a round older learn at another rate: another program.
        _open();
        _refused(young, 3);
    }

    /// @dev A version that names the programs of the one before: what its rounds lead to is another all the same.
    function test_attack_base_with_other_terms_under_the_same_hashes() public {
        _round("one");
        Change memory change = _change();
        (change.growHash, change.programHash, change.dataRoot) =
        (keccak256("program"), keccak256("program"), keccak256("data"));
        _activate(change, carol);
        _open();
        vm.assertEq(uint256(registry.roundOf(2).target), 1);
        _refusedFrom(1);
        _step("grows");
        _open();
        vm.assertEq(uint256(registry.roundOf(3).version), 1);
        _refusedFrom(1);
        _refusedFrom(2);
        _step("more");
        _open();
        _post(_late(carol, 3, 3));
    }
}
