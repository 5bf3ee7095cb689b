// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { vm } from "../../script/Vm.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { Staking } from "../../src/Staking.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";

/// @notice Every verb of Staking and every revert in it; the test itself stands in the registry's place.
contract StakingTest {
    uint256 internal constant MINIMUM = 100;
    uint64 internal constant THAW = 1000;
    uint256 internal constant KEY = 0xA11CE;

    address internal immutable alice = vm.addr(KEY);
    address internal constant BOB = address(0xB0B);

    NeuroToken internal token;
    Staking internal staking;
    uint256 internal time = 1_000_000;

    function setUp() public {
        vm.warp(time);
        token = new NeuroToken(address(this), alice, type(uint128).max, type(uint256).max);
        staking = new Staking(token, address(this), address(0), address(0), address(0), MINIMUM, THAW);
        vm.prank(alice);
        token.approve(address(staking), type(uint256).max);
    }

    function _stake(uint256 amount) internal {
        vm.prank(alice);
        staking.stake(amount);
    }

    function _thaw(uint256 amount) internal {
        vm.prank(alice);
        staking.thaw(amount);
    }

    function _skip(uint256 dt) internal {
        time += dt;
        vm.warp(time);
    }

    function _is(uint256 active, uint256 locked, uint256 thawing) internal view {
        IStaking.Account memory a = staking.accountOf(alice);
        vm.assertEq(a.active, active, "active");
        vm.assertEq(a.locked, locked, "locked");
        vm.assertEq(a.thawing, thawing, "thawing");
        vm.assertEq(staking.totalActive(), active, "total");
        uint256 held = active + thawing + staking.creditOf(alice) + staking.creditOf(BOB);
        vm.assertEq(token.balanceOf(address(staking)), held, "balance");
    }

    // --- stake ---

    function test_stake() public {
        vm.expectEmit(address(staking));
        emit IStaking.Staked(alice, 300, 300);
        _stake(300);
        _is(300, 0, 0);
        vm.assertTrue(staking.isStaker(alice));
        vm.assertFalse(staking.isStaker(BOB));
        _stake(1);
        _is(301, 0, 0);
    }

    function test_revert_stake_zero() public {
        vm.expectRevert(IStaking.ZeroAmount.selector);
        _stake(0);
    }

    function test_revert_stake_below_minimum() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 99, MINIMUM));
        _stake(99);
    }

    function test_revert_stake_without_allowance() public {
        vm.prank(alice);
        token.approve(address(staking), 99);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(staking), 99, 100)
        );
        _stake(100);
    }

    function _signPermit(uint256 amount) internal view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 permit =
            keccak256(abi.encode(typehash, alice, address(staking), amount, token.nonces(alice), type(uint256).max));
        return vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), permit)));
    }

    function test_stake_with_permit() public {
        vm.prank(alice);
        token.approve(address(staking), 0);
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(250);
        vm.prank(alice);
        staking.stakeWithPermit(250, type(uint256).max, v, r, s);
        _is(250, 0, 0);
    }

    function test_permit_front_run_does_not_block_the_stake() public {
        vm.prank(alice);
        token.approve(address(staking), 0);
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(250);
        vm.prank(BOB);
        token.permit(alice, address(staking), 250, type(uint256).max, v, r, s);
        vm.prank(alice);
        staking.stakeWithPermit(250, type(uint256).max, v, r, s);
        _is(250, 0, 0);
    }

    function test_revert_permit_of_another_does_not_stake_its_tokens() public {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(250);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(staking), 0, 250)
        );
        vm.prank(BOB);
        staking.stakeWithPermit(250, type(uint256).max, v, r, s);
    }

    // --- thaw and withdraw ---

    function test_thaw_and_withdraw() public {
        _stake(300);
        vm.expectEmit(address(staking));
        emit IStaking.Thawed(alice, 120, uint64(time + THAW));
        _thaw(120);
        _is(180, 0, 120);
        _skip(THAW);
        uint256 before = token.balanceOf(alice);
        vm.expectEmit(address(staking));
        emit IStaking.Withdrawn(alice, 120);
        vm.prank(alice);
        vm.assertEq(staking.withdraw(), 120);
        vm.assertEq(token.balanceOf(alice) - before, 120);
        _is(180, 0, 0);
    }

    function test_thaw_all() public {
        _stake(300);
        _thaw(300);
        _is(0, 0, 300);
        vm.assertFalse(staking.isStaker(alice));
    }

    function test_thaw_again_restarts_the_clock() public {
        _stake(300);
        _thaw(50);
        _skip(THAW - 1);
        _thaw(50);
        _skip(1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillThawing.selector, time - 1 + THAW));
        vm.prank(alice);
        staking.withdraw();
    }

    function test_revert_thaw_zero() public {
        vm.expectRevert(IStaking.ZeroAmount.selector);
        _thaw(0);
    }

    function test_revert_thaw_leaves_dust() public {
        _stake(150);
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 99, MINIMUM));
        _thaw(51);
    }

    function test_revert_thaw_of_locked_stake() public {
        _stake(300);
        staking.lock(alice, 200);
        vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, 100, 101));
        _thaw(101);
        _thaw(100);
        _is(200, 200, 100);
    }

    function test_revert_thaw_onto_a_matured_bucket() public {
        _stake(300);
        _thaw(50);
        _skip(THAW);
        vm.expectRevert(IStaking.WithdrawFirst.selector);
        _thaw(50);
    }

    function test_revert_withdraw_too_early() public {
        _stake(300);
        _thaw(300);
        _skip(THAW - 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillThawing.selector, time + 1));
        vm.prank(alice);
        staking.withdraw();
    }

    function test_revert_withdraw_nothing() public {
        vm.expectRevert(IStaking.NothingThawing.selector);
        vm.prank(alice);
        staking.withdraw();
    }

    // --- lock, unlock ---

    function test_lock_and_unlock() public {
        _stake(300);
        vm.expectEmit(address(staking));
        emit IStaking.Locked(alice, 200);
        staking.lock(alice, 200);
        _is(300, 200, 0);
        vm.expectEmit(address(staking));
        emit IStaking.Unlocked(alice, 150);
        staking.unlock(alice, 150);
        _is(300, 50, 0);
        staking.unlock(alice, 70);
        _is(300, 0, 0);
    }

    function test_revert_lock_more_than_free() public {
        _stake(300);
        staking.lock(alice, 200);
        vm.expectRevert(abi.encodeWithSelector(IStaking.InsufficientStake.selector, 100, 101));
        staking.lock(alice, 101);
    }

    function test_revert_lock_of_no_staker() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 0, MINIMUM));
        staking.lock(BOB, 1);
    }

    function test_revert_only_registry() public {
        bytes memory denied = abi.encodeWithSelector(IStaking.OnlyKeeper.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(denied);
        staking.lock(alice, 1);
        vm.expectRevert(denied);
        staking.unlock(alice, 1);
        vm.expectRevert(denied);
        staking.slash(BOB, 1, alice, 1);
        vm.stopPrank();
    }

    // --- slash, collect ---

    function test_slash_splits_and_burns() public {
        _stake(300);
        staking.lock(alice, 100);
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(staking));
        emit IStaking.Slashed(alice, BOB, 100, 50);
        staking.slash(alice, 100, BOB, 50);
        _is(200, 0, 0);
        vm.assertEq(supply - token.totalSupply(), 50, "burned");
        vm.expectEmit(address(staking));
        emit IStaking.Collected(BOB, 50);
        vm.prank(BOB);
        vm.assertEq(staking.collect(), 50);
        vm.assertEq(token.balanceOf(BOB), 50);
        _is(200, 0, 0);
    }

    function test_slash_takes_active_first_then_thawing() public {
        _stake(300);
        _thaw(200);
        staking.slash(alice, 150, BOB, 0);
        _is(0, 0, 150);
    }

    function test_slash_reaches_stake_that_has_thawed_but_not_left() public {
        _stake(300);
        _thaw(300);
        _skip(10 * uint256(THAW));
        staking.slash(alice, 120, BOB, 0);
        vm.prank(alice);
        vm.assertEq(staking.withdraw(), 180);
    }

    function test_slash_of_more_than_there_is_takes_all_and_rounds_the_burn_up() public {
        _stake(101);
        uint256 supply = token.totalSupply();
        staking.slash(alice, 200, BOB, 99); // 99 * 101 / 200 = 49.995
        _is(0, 0, 0);
        vm.assertEq(staking.creditOf(BOB), 49);
        vm.assertEq(supply - token.totalSupply(), 52);
    }

    function test_slash_above_the_lock_keeps_locked_within_active() public {
        _stake(300);
        staking.lock(alice, 250);
        staking.slash(alice, 100, BOB, 0);
        _is(200, 150, 0);
        staking.unlock(alice, 150);
        staking.lock(alice, 10);
        staking.slash(alice, 195, BOB, 0);
        _is(5, 0, 0);
    }

    function test_slash_below_minimum_still_lets_the_rest_out() public {
        _stake(150);
        staking.slash(alice, 100, BOB, 0);
        vm.assertFalse(staking.isStaker(alice));
        _thaw(50);
        _is(0, 0, 50);
    }

    function test_revert_slash_share_above_amount() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.ShareAboveAmount.selector, 2, 1));
        staking.slash(alice, 1, BOB, 2);
    }

    function test_revert_slash_zero() public {
        vm.expectRevert(IStaking.ZeroAmount.selector);
        staking.slash(alice, 0, BOB, 0);
    }

    function test_revert_collect_nothing() public {
        vm.expectRevert(IStaking.NothingToCollect.selector);
        vm.prank(BOB);
        staking.collect();
    }

    // --- fuzz ---

    function testFuzz_slash_conserves(uint96 staked, uint96 thawed, uint128 amount, uint128 share) public {
        uint256 stake = uint256(staked) + MINIMUM;
        uint256 out = uint256(thawed) % (stake - MINIMUM + 1);
        _stake(stake);
        if (out != 0) _thaw(out);
        uint256 wanted = uint256(amount) + 1;
        uint256 part = uint256(share) % (wanted + 1);
        uint256 supply = token.totalSupply();
        staking.slash(alice, wanted, BOB, part);
        uint256 taken = wanted < stake ? wanted : stake;
        IStaking.Account memory a = staking.accountOf(alice);
        vm.assertEq(uint256(a.active) + a.thawing, stake - taken, "left");
        vm.assertEq(staking.creditOf(BOB), part * taken / wanted, "share, down");
        vm.assertEq(supply - token.totalSupply(), taken - part * taken / wanted, "burn, up");
        vm.assertEq(token.balanceOf(address(staking)), stake - taken + staking.creditOf(BOB), "held");
    }

    function testFuzz_round_trip(uint96 amount) public {
        uint256 stake = uint256(amount) + MINIMUM;
        uint256 before = token.balanceOf(alice);
        _stake(stake);
        _thaw(stake);
        _skip(THAW);
        vm.prank(alice);
        staking.withdraw();
        vm.assertEq(token.balanceOf(alice), before);
        _is(0, 0, 0);
    }
}
