// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Split } from "../../src/libraries/Split.sol";

/// @title SplitSymbolic
/// @notice Proved by halmos for every fee: the parts of a fee are never more than the fee, and none is negative.
contract SplitSymbolic {
    /// @dev Twice the supply's cap, in wei: no fee can be larger.
    uint256 private constant MOST = 200_000_000e18;

    function check_fixed_parts_add_up_to_the_fee(uint256 fee) public pure {
        vm.assume(fee <= MOST);
        Split.Parts memory p = Split.parts(fee);
        assert(p.embedding <= fee && p.head <= fee && p.burned <= fee && p.layers <= fee);
        assert(p.embedding + p.head + p.burned + p.layers == fee);
    }

    function check_burned_is_a_twentieth_rounded_down(uint256 fee) public pure {
        vm.assume(fee <= MOST);
        uint256 burned = Split.parts(fee).burned;
        assert(burned * 20 <= fee && fee < (burned + 1) * 20);
    }

    function check_two_holders_never_get_more_than_there_is(uint256 amount, uint16 a, uint16 b) public pure {
        vm.assume(amount <= MOST && a != 0 && b != 0);
        uint256 whole = uint256(a) + b;
        assert(Split.down(amount, a, whole) + Split.down(amount, b, whole) <= amount);
    }
}

/// @title SlashSymbolic
/// @notice The arithmetic of a slash, as {Staking-slash} does it, for every stake, amount and share.
contract SlashSymbolic {
    function check_share_is_rounded_down_and_the_burn_up(uint128 stake, uint128 amount, uint128 share) public pure {
        vm.assume(amount != 0 && share <= amount);
        uint256 taken = amount < stake ? amount : stake;
        uint256 paid = taken == amount ? share : (uint256(share) * taken) / amount;
        assert(taken <= stake && paid <= taken);
        assert(paid * amount <= uint256(share) * taken);
    }
}
