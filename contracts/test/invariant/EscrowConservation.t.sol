// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { InferenceEscrow } from "../../src/InferenceEscrow.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { IInferenceEscrow, Quote } from "../../src/interfaces/IInferenceEscrow.sol";
import { EscrowHandler } from "./EscrowHandler.sol";

/// @notice What holds of the escrow after any sequence of calls.
contract EscrowConservationTest {
    uint256 internal constant GENESIS = 1_000_000e18;

    EscrowHandler internal handler;
    NeuroToken internal token;
    InferenceEscrow internal escrow;

    function setUp() public {
        handler = new EscrowHandler();
        (address token_, address escrow_) = handler.system();
        (token, escrow) = (NeuroToken(token_), InferenceEscrow(escrow_));
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @notice forge reads here which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[11] memory verbs = [
            handler.deposit.selector,
            handler.withdraw.selector,
            handler.collect.selector,
            handler.open.selector,
            handler.open.selector,
            handler.settle.selector,
            handler.release.selector,
            handler.cancel.selector,
            handler.refund.selector,
            handler.pass.selector,
            handler.endAgain.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](verbs.length));
        for (uint256 i = 0; i < verbs.length; ++i) {
            targets[0].selectors[i] = verbs[i];
        }
    }

    function invariant_balance_is_deposits_and_locked_and_credits() public view {
        uint256 owed = escrow.totalLocked();
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            owed += escrow.depositOf(handler.actors(i)) + escrow.creditOf(handler.actors(i));
        }
        vm.assertEq(token.balanceOf(address(escrow)), owed, "balance = deposits + locked + credits");
        vm.assertEq(token.totalSupply(), GENESIS - handler.burned(), "what is gone was burned");
    }

    function invariant_a_request_ends_exactly_once() public view {
        uint256 locked;
        for (uint256 i = 0; i < handler.requestCount(); ++i) {
            Quote memory q = handler.quoteAt(i);
            bytes32 id = escrow.hashQuote(q);
            IInferenceEscrow.State state = escrow.requestOf(id).state;
            bool live = state == IInferenceEscrow.State.Open || state == IInferenceEscrow.State.Cancelled;
            vm.assertEq(handler.terminals(id), live ? 0 : 1, "one end, or none yet");
            if (live) locked += q.price * q.maxTokens;
        }
        vm.assertEq(escrow.totalLocked(), locked, "locked is the sum of live requests");
        vm.assertEq(handler.unexpected(), 0, "nothing ends twice");
    }

    /// @notice The handler reaches every verb, so the invariants above are not empty words.
    function test_handler_reaches_every_verb() public {
        uint256 seed = 11;
        for (uint256 i = 0; i < 600; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _act(seed % 9, seed >> 16, seed >> 80);
        }
        bytes4[8] memory verbs = [
            handler.deposit.selector,
            handler.withdraw.selector,
            handler.collect.selector,
            handler.open.selector,
            handler.settle.selector,
            handler.release.selector,
            handler.cancel.selector,
            handler.refund.selector
        ];
        for (uint256 i = 0; i < verbs.length; ++i) {
            vm.assertTrue(handler.done(verbs[i]) != 0, string.concat("never reached: ", vm.toString(i)));
        }
        vm.assertTrue(handler.done(handler.endAgain.selector) != 0);
        invariant_balance_is_deposits_and_locked_and_credits();
        invariant_a_request_ends_exactly_once();
    }

    function _act(uint256 verb, uint256 a, uint256 b) private {
        if (verb == 0) handler.deposit(a, b);
        else if (verb == 1) handler.withdraw(a, b);
        else if (verb == 2) handler.collect(a);
        else if (verb == 3) handler.open(a, b, uint32(a), b);
        else if (verb == 4) handler.settle(a, uint32(b));
        else if (verb == 5) handler.release(a);
        else if (verb == 6) handler.cancel(a, uint32(b));
        else if (verb == 7) handler.refund(a);
        else handler.endAgain(a);
    }
}
