// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { Staking } from "../../src/Staking.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";

/// @notice One attack on stake and its votes a test. The test itself keeps the stake: it stands for registry or vocabulary.
contract StakeAttacksTest {
    uint256 internal constant NEURO = 1e18;
    uint256 internal constant STAKE = 1000 * NEURO;
    uint256 internal constant MINIMUM = 100 * NEURO;
    uint64 internal constant THAW = 18 days;

    NeuroToken internal token;
    Staking internal staking;
    address internal immutable mallory = vm.addr(0x3A11021);
    address internal immutable accomplice = vm.addr(0xACC0);
    address internal immutable vocabulary = vm.addr(0x70CAB);
    uint256 internal time = 1_800_000_000;

    function setUp() public {
        vm.warp(time);
        token = new NeuroToken(address(this), address(this), 1_000_000 * NEURO, 10_000_000 * NEURO);
        staking = new Staking(token, address(this), vocabulary, address(0), address(0), MINIMUM, THAW);
        _stake(mallory);
        _stake(accomplice);
        _skip(1);
    }

    function _stake(address account) private {
        vm.assertTrue(token.transfer(account, STAKE));
        vm.startPrank(account);
        token.approve(address(staking), STAKE);
        staking.stake(STAKE);
        vm.stopPrank();
    }

    function _skip(uint256 dt) private {
        time += dt;
        vm.warp(time);
    }

    function _thaw(address account, uint256 amount) private {
        vm.prank(account);
        staking.thaw(amount);
    }

    function test_attack_matured_stake_escaping() public {
        _thaw(mallory, STAKE);
        _skip(THAW + 365 days);
        staking.slash(mallory, 300 * NEURO, address(this), 100 * NEURO);
        vm.prank(mallory);
        vm.assertEq(staking.withdraw(), 700 * NEURO, "what has matured and not left is slashed");
    }

    function test_attack_early_exit_before_slash_by_the_vocabulary() public {
        // A proposer whose bond was given back thaws everything at once: the emergency vote still finds it.
        vm.prank(vocabulary);
        staking.lock(mallory, MINIMUM);
        vm.prank(vocabulary);
        staking.unlock(mallory, MINIMUM);
        _thaw(mallory, STAKE);
        _skip(THAW - 1);
        vm.prank(vocabulary);
        staking.slash(mallory, MINIMUM, address(0), 0);
        vm.assertEq(staking.accountOf(mallory).thawing, STAKE - MINIMUM);
    }

    function test_attack_slash_stranding_an_older_thaw() public {
        _thaw(mallory, 400 * NEURO);
        uint64 ends = staking.accountOf(mallory).thawEnds;
        staking.slash(mallory, 700 * NEURO, address(this), 0);
        IStaking.Account memory a = staking.accountOf(mallory);
        vm.assertEq(a.active, 0);
        vm.assertEq(a.thawing, 300 * NEURO);
        vm.assertEq(uint256(a.thawEnds), ends, "the clock runs on as before");
        _skip(THAW);
        vm.prank(mallory);
        vm.assertEq(staking.withdraw(), 300 * NEURO, "what is left can leave, though nothing is active");
    }

    function test_attack_rounding_to_zero_of_a_slash(uint256 amount, uint256 share, uint256 left) public {
        left = left % STAKE;
        amount = amount % (2 * STAKE) + 1;
        share = share % (amount + 1);
        staking.slash(mallory, STAKE - left + 1, address(this), 0); // little is left
        uint256 had = staking.activeOf(mallory);
        uint256 supply = token.totalSupply();
        uint256 before = staking.creditOf(accomplice);
        staking.slash(mallory, amount, accomplice, share);
        uint256 taken = had - staking.activeOf(mallory);
        uint256 credited = staking.creditOf(accomplice) - before;
        vm.assertEq(taken, amount < had ? amount : had, "the whole amount, or all there is");
        vm.assertEq(credited + supply - token.totalSupply(), taken, "credited and burned");
        vm.assertTrue(credited * amount <= share * taken, "the share is rounded down, the burn up");
    }

    function test_attack_concurrent_disputes_over_slashing_take_no_more_than_there_is() public {
        staking.lock(mallory, 200 * NEURO);
        for (uint256 i = 0; i < 5; ++i) {
            staking.slash(mallory, 300 * NEURO, address(this), 150 * NEURO);
        }
        IStaking.Account memory a = staking.accountOf(mallory);
        vm.assertEq(a.active + a.thawing + a.locked, 0);
        vm.assertEq(staking.creditOf(address(this)), STAKE / 2);
        vm.assertEq(token.balanceOf(address(staking)), STAKE + STAKE / 2, "nobody else's stake was touched");
    }

    function test_attack_self_slash_for_bounty_with_an_empty_stake() public {
        staking.slash(mallory, 2 * STAKE, accomplice, STAKE);
        vm.assertEq(staking.creditOf(accomplice), STAKE / 2, "half of what was really there");
    }

    function test_attack_dust_thaw_grief() public {
        _thaw(mallory, 400 * NEURO);
        _skip(THAW);
        // Dust does not restart the clock of what has thawed, and what would leave dust behind does not thaw.
        vm.expectRevert(IStaking.WithdrawFirst.selector);
        vm.prank(mallory);
        staking.thaw(1);
        vm.startPrank(mallory);
        staking.withdraw();
        vm.expectRevert(abi.encodeWithSelector(IStaking.BelowMinimum.selector, 1, MINIMUM));
        staking.thaw(600 * NEURO - 1);
        vm.stopPrank();
    }

    function test_attack_flash_stake() public {
        address whale = vm.addr(0x3A1E);
        uint256 snapshot = time;
        _skip(1);
        vm.assertTrue(token.transfer(whale, 100 * STAKE));
        vm.startPrank(whale);
        token.approve(address(staking), 100 * STAKE);
        staking.stake(100 * STAKE);
        staking.thaw(100 * STAKE);
        vm.stopPrank();
        _skip(1);
        vm.assertEq(staking.getPastVotes(whale, snapshot), 0, "stake of today has no vote of yesterday");
        vm.assertEq(staking.getPastVotes(whale, time - 1), 0, "nor the stake that left in the same second");
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillThawing.selector, uint64(time - 1 + THAW)));
        vm.prank(whale);
        staking.withdraw();
    }

    function test_attack_double_vote_by_redelegation(uint8 hops) public {
        // Before the snapshot votes move, after it they don't: each counts once, wherever it stands.
        uint256 total = staking.totalActive();
        for (uint256 i = 0; i < hops % 8; ++i) {
            vm.prank(mallory);
            staking.delegate(i % 2 == 0 ? accomplice : mallory);
            vm.assertEq(staking.getVotes(mallory) + staking.getVotes(accomplice), total);
        }
        uint256 snapshot = time;
        _skip(1);
        uint256 before = staking.getPastVotes(mallory, snapshot) + staking.getPastVotes(accomplice, snapshot);
        vm.prank(mallory);
        staking.delegate(vm.addr(0x51B11));
        vm.prank(mallory);
        staking.delegate(address(0));
        vm.assertEq(staking.getPastVotes(mallory, snapshot) + staking.getPastVotes(accomplice, snapshot), before);
        vm.assertEq(staking.getPastVotes(vm.addr(0x51B11), snapshot), 0);
        vm.assertEq(staking.getVotes(mallory), STAKE, "to nobody is to its owner");
    }

    function test_attack_vote_then_exit_takes_longer_than_the_outcome() public {
        _thaw(mallory, STAKE);
        vm.assertEq(staking.getVotes(mallory), 0, "no vote with stake on its way out");
        // Vote, extension, grace and emergency vote of mainnet.
        _skip(7 days + 1 days + 7 days + 48 hours);
        vm.expectRevert();
        vm.prank(mallory);
        staking.withdraw();
        staking.slash(mallory, STAKE, address(0), 0);
        vm.assertEq(staking.accountOf(mallory).thawing, 0);
    }

    function test_attack_stranger_resetting_timers_by_staking_for_another() public {
        _thaw(mallory, 400 * NEURO);
        uint64 ends = staking.accountOf(mallory).thawEnds;
        _skip(THAW - 1);
        // Stake, permits and delegations of a stranger act on its own account alone.
        vm.startPrank(accomplice);
        staking.thaw(1);
        staking.delegate(mallory);
        vm.stopPrank();
        vm.assertEq(uint256(staking.accountOf(mallory).thawEnds), ends);
    }

    function test_attack_donation_inflation_of_votes() public {
        vm.assertTrue(token.transfer(address(staking), 500 * NEURO));
        vm.assertEq(staking.getVotes(mallory), STAKE);
        vm.assertEq(staking.totalActive(), 2 * STAKE);
    }
}
