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

    /// @dev Holders of one and of two layers; other numbers are fuzzed, a product of two unknowns is beyond the solvers.
    function check_holders_never_get_more_than_there_is(uint256 amount) public pure {
        vm.assume(amount <= MOST);
        uint256 paid = Split.down(amount, 1, 3) + Split.down(amount, 2, 3);
        assert(paid <= amount && amount - paid <= 1);
    }
}

/// @title SlashSymbolic
/// @notice The arithmetic of a slash of two bonds, one of them the challenger's, for every stake that is left to slash.
contract SlashSymbolic {
    uint256 private constant BOND = 50e18;

    function check_share_is_rounded_down_and_the_burn_up(uint128 stake) public pure {
        uint256 amount = 2 * BOND;
        uint256 taken = amount < stake ? amount : stake;
        uint256 paid = taken == amount ? BOND : BOND * taken / amount;
        assert(taken <= stake && paid <= taken);
        assert(2 * paid <= taken && taken < 2 * (paid + 1));
    }
}
