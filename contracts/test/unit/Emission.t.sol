// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Emission } from "../../src/Emission.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";

/// @notice Emission with small caps; the test itself stands in the registry's place.
contract EmissionTest {
    address internal constant NODE = address(0xA1);
    address internal constant OTHER = address(0xB2);
    uint256 internal constant NODE_DAY_CAP = 100;
    uint256 internal constant EPOCH_CAP = 150;
    uint256 internal constant TOKEN_CAP = 1000;

    NeuroToken internal token;
    Emission internal emission;
    uint256 internal time = 100 days;

    function setUp() public {
        vm.warp(time);
        (token, emission) = _deploy(_schedule());
    }

    function _schedule() internal pure returns (IEmission.Schedule memory) {
        return IEmission.Schedule(1 days, 1 days, 2, EPOCH_CAP, NODE_DAY_CAP);
    }

    function _deploy(IEmission.Schedule memory s) internal returns (NeuroToken t, Emission e) {
        uint256 nonce = vm.getNonce(address(this));
        t = new NeuroToken(vm.computeCreateAddress(address(this), nonce + 1), address(this), 0, TOKEN_CAP);
        e = new Emission(t, address(this), address(0), address(0), s);
    }

    function _collect(address node) internal returns (uint256) {
        vm.prank(node);
        return emission.collect();
    }

    function _skip(uint256 dt) internal {
        time += dt;
        vm.warp(time);
    }

    function test_accrue_then_collect() public {
        vm.expectEmit(address(emission));
        emit IEmission.Accrued(NODE, 40, 40);
        emission.accrue(NODE, 40);
        emission.accrue(NODE, 2);
        vm.assertEq(emission.collectable(NODE), 42);
        vm.expectEmit(address(emission));
        emit IEmission.Collected(NODE, 42, 0);
        vm.assertEq(_collect(NODE), 42);
        vm.assertEq(token.balanceOf(NODE), 42);
        vm.assertEq(emission.mintedIn(0), 42);
    }

    function test_node_day_cap_holds_back_and_loses_nothing() public {
        emission.accrue(NODE, 130);
        vm.assertEq(_collect(NODE), 100);
        vm.assertEq(emission.accruedOf(NODE), 30);
        vm.expectRevert(IEmission.NothingToCollect.selector);
        _collect(NODE);
        _skip(1 days);
        vm.assertEq(_collect(NODE), 30);
    }

    function test_epoch_cap_is_shared_and_loses_nothing() public {
        emission.accrue(NODE, 100);
        emission.accrue(OTHER, 100);
        vm.assertEq(_collect(NODE), 100);
        vm.assertEq(_collect(OTHER), 50);
        vm.expectRevert(IEmission.NothingToCollect.selector);
        _collect(OTHER);
        _skip(1 days);
        vm.assertEq(emission.currentEpoch(), 1);
        vm.assertEq(_collect(OTHER), 50);
    }

    function test_epoch_cap_halves_to_nothing() public view {
        vm.assertEq(emission.epochCapOf(0), 150);
        vm.assertEq(emission.epochCapOf(1), 150);
        vm.assertEq(emission.epochCapOf(2), 75);
        vm.assertEq(emission.epochCapOf(5), 37);
        vm.assertEq(emission.epochCapOf(16), 0);
        vm.assertEq(emission.epochCapOf(type(uint256).max), 0);
    }

    function test_token_cap_holds_back() public {
        IEmission.Schedule memory s = IEmission.Schedule(1 days, 1 days, 2, 5000, 5000);
        (token, emission) = _deploy(s);
        emission.accrue(NODE, 1100);
        vm.assertEq(_collect(NODE), TOKEN_CAP);
        vm.assertEq(emission.accruedOf(NODE), 100);
        vm.prank(NODE);
        token.burn(60);
        vm.assertEq(_collect(NODE), 60);
    }

    function test_schedule_is_readable() public view {
        IEmission.Schedule memory s = emission.schedule();
        vm.assertEq(s.epochCap, EPOCH_CAP);
        vm.assertEq(s.nodeDayCap, NODE_DAY_CAP);
        vm.assertEq(s.halvingEpochs, 2);
        vm.assertEq(emission.start(), time);
    }

    function test_revert_accrue_by_another() public {
        vm.expectRevert(abi.encodeWithSelector(IEmission.OnlyKeeper.selector, NODE));
        vm.prank(NODE);
        emission.accrue(NODE, 1);
    }

    function test_revert_nothing_accrued() public {
        vm.expectRevert(IEmission.NothingToCollect.selector);
        _collect(NODE);
    }

    function test_revert_bad_schedule() public {
        for (uint256 i = 0; i < 3; ++i) {
            IEmission.Schedule memory s = _schedule();
            if (i == 0) s.epochLength = 0;
            if (i == 1) s.dayLength = 0;
            if (i == 2) s.halvingEpochs = 0;
            vm.expectRevert(IEmission.BadSchedule.selector);
            new Emission(token, address(this), address(0), address(0), s);
        }
    }

    function test_revert_not_the_minter() public {
        vm.expectRevert(abi.encodeWithSelector(IEmission.NotMinter.selector, address(emission)));
        new Emission(token, address(this), address(0), address(0), _schedule());
    }

    function testFuzz_caps_hold_and_all_is_paid_in_the_end(uint16[8] calldata amounts, uint8[8] calldata hours_)
        public
    {
        uint256 owed;
        uint256 paid;
        for (uint256 i = 0; i < 8; ++i) {
            emission.accrue(NODE, amounts[i] % 60);
            owed += amounts[i] % 60;
            _skip(uint256(hours_[i] % 5) * 1 hours);
            uint256 epoch = emission.currentEpoch();
            if (emission.collectable(NODE) != 0) paid += _collect(NODE);
            vm.assertLe(emission.mintedIn(epoch), emission.epochCapOf(epoch), "epoch cap");
            vm.assertEq(emission.accruedOf(NODE), owed - paid, "nothing lost");
        }
        while (emission.accruedOf(NODE) != 0) {
            _skip(1 days);
            paid += _collect(NODE);
        }
        vm.assertEq(token.balanceOf(NODE), owed);
        vm.assertEq(paid, owed);
    }
}
