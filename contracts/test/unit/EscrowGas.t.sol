// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Quote } from "../../src/interfaces/IInferenceEscrow.sol";
import { EscrowFixture } from "../utils/EscrowFixture.sol";

/// @notice What payers and servers pay, whole transactions, written to contracts/snapshots/escrow.json.
contract EscrowGasTest is EscrowFixture {
    function test_gas_escrow() public {
        Quote memory q = _quoteOfFive();
        _open(q);
        vm.snapshotGasLastCall("escrow", "open");
        _settle(q, 40);
        uint256 first = vm.snapshotGasLastCall("escrow", "settle_five_first");
        q = _quoteOfFive();
        _open(q);
        _settle(q, 40);
        uint256 again = vm.snapshotGasLastCall("escrow", "settle_five");
        q = _quote();
        _open(q);
        _settle(q, 40);
        q = _quote();
        _open(q);
        _settle(q, 40);
        vm.snapshotGasLastCall("escrow", "settle_one");
        (q,) = _cancelled(5);
        vm.snapshotGasLastCall("escrow", "cancel");
        _skip(SETTLE + 1);
        escrow.refund(q);
        vm.snapshotGasLastCall("escrow", "refund");
        vm.prank(server);
        escrow.collect();
        vm.snapshotGasLastCall("escrow", "collect");
        vm.assertLe(again, 150_000, "an answer over five nodes");
        vm.assertLe(first, 230_000, "the first one, with new accounts");
    }
}
