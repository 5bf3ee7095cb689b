// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @notice What users pay, whole transactions, written to contracts/snapshots/registry.json and staking.json.
contract GasTest is Fixture {
    uint32 internal constant STEPS = 100;

    /// @dev One whole round, so that every figure below is of a node that has worked before.
    function _firstRound() internal {
        Claim memory a = _posted(alice, STEPS);
        vm.snapshotGasLastCall("registry", "post_first");
        Claim memory b = _train(bob, STEPS);
        _post(b);
        _challenge(carol, a, 5);
        _answer(a, carol);
        _afterWindow();
        registry.finalise(a);
        vm.snapshotGasLastCall("registry", "finalise_first");
        registry.finalise(b);
        Claim memory outer = _outer(bob, keccak256("next"));
        _post(outer);
        vm.snapshotGasLastCall("registry", "post_outer");
        _skip(WINDOW + 1);
        registry.finalise(outer);
        vm.snapshotGasLastCall("registry", "finalise_outer");
    }

    function test_gas_registry() public {
        _firstRound();
        registry.openRound();
        vm.snapshotGasLastCall("registry", "open_round");
        Claim memory b = _train(bob, STEPS);
        _post(b);
        Claim memory a = _train(alice, STEPS);
        _post(a);
        uint256 post = vm.snapshotGasLastCall("registry", "post_again");
        _challenge(carol, a, 70);
        uint256 challenge = vm.snapshotGasLastCall("registry", "challenge");
        _answer(a, carol);
        vm.snapshotGasLastCall("registry", "answer");
        _challenge(carol, b, 3);
        _skip(RESPONSE + 1);
        registry.timeout(b, carol);
        vm.snapshotGasLastCall("registry", "timeout");
        _afterWindow();
        registry.finalise(a);
        vm.snapshotGasLastCall("registry", "finalise_again");
        vm.assertLe(post, 50_000, "a repeated claim");
        vm.assertLe(challenge, 95_000, "a challenge");
    }

    function test_gas_late() public {
        Claim memory c = _posted(alice, STEPS);
        _afterWindow();
        registry.finalise(c);
        _skip(TRAIN_TIME + 1);
        registry.openRound();
        Claim memory b = _train(bob, STEPS);
        _post(b);
        _afterWindow();
        registry.finalise(b);
        _skip(TRAIN_TIME + 1);
        registry.openRound();
        b = _train(bob, STEPS);
        _post(b);
        c = _late(alice, STEPS, 2);
        _post(c);
        vm.snapshotGasLastCall("registry", "post_late");
        _afterWindow();
        registry.finalise(c);
        vm.snapshotGasLastCall("registry", "finalise_late");
    }

    function test_gas_staking() public {
        address newcomer = vm.addr(0x9E3);
        vm.assertTrue(token.transfer(newcomer, STAKE));
        vm.startPrank(newcomer);
        token.approve(address(staking), STAKE);
        staking.stake(STAKE);
        uint256 first = vm.snapshotGasLastCall("staking", "stake_first");
        vm.stopPrank();
        _skip(1);
        vm.startPrank(alice);
        staking.stake(NEURO);
        uint256 again = vm.snapshotGasLastCall("staking", "stake_again");
        _skip(1);
        staking.thaw(NEURO);
        uint256 thaw = vm.snapshotGasLastCall("staking", "thaw");
        _skip(THAW);
        staking.withdraw();
        uint256 withdraw = vm.snapshotGasLastCall("staking", "withdraw");
        vm.stopPrank();
        vm.prank(address(registry));
        staking.slash(bob, 2 * BOND, alice, BOND);
        vm.snapshotGasLastCall("staking", "slash_first");
        _skip(1);
        vm.prank(address(registry));
        staking.slash(bob, 2 * BOND, alice, BOND);
        uint256 slash = vm.snapshotGasLastCall("staking", "slash");
        vm.assertLe(first, 143_500, "stake first");
        vm.assertLe(again, 111_800, "stake again");
        vm.assertLe(thaw, 116_900, "thaw");
        vm.assertLe(withdraw, 43_900, "withdraw");
        vm.assertLe(slash, 127_700, "slash");
    }
}
