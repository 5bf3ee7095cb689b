// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { InferenceEscrow } from "../../src/InferenceEscrow.sol";
import { IInferenceEscrow, Payee, Quote } from "../../src/interfaces/IInferenceEscrow.sol";
import { EscrowFixture } from "../utils/EscrowFixture.sol";

contract EscrowTest is EscrowFixture {
    // --- deposits ---

    function test_deposit_and_withdraw() public {
        vm.assertEq(escrow.depositOf(payer), DEPOSIT);
        vm.prank(payer);
        escrow.withdraw(DEPOSIT - 1);
        vm.assertEq(escrow.depositOf(payer), 1);
        vm.assertEq(token.balanceOf(payer), 2 * DEPOSIT - 1);
    }

    function test_revert_amounts_of_zero() public {
        vm.startPrank(payer);
        vm.expectRevert(IInferenceEscrow.ZeroAmount.selector);
        escrow.deposit(0);
        vm.expectRevert(IInferenceEscrow.ZeroAmount.selector);
        escrow.withdraw(0);
        vm.expectRevert(IInferenceEscrow.NothingToCollect.selector);
        escrow.collect();
        vm.stopPrank();
    }

    function test_revert_withdraw_more_than_the_deposit() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.InsufficientDeposit.selector, DEPOSIT, DEPOSIT + 1));
        vm.prank(payer);
        escrow.withdraw(DEPOSIT + 1);
    }

    function test_deposit_with_permit() public {
        vm.assertTrue(token.transfer(server, 5 * NEURO));
        (uint8 v, bytes32 r, bytes32 s) = _permit(SERVER_KEY, server, 5 * NEURO);
        vm.prank(server);
        escrow.depositWithPermit(5 * NEURO, time, v, r, s);
        vm.assertEq(escrow.depositOf(server), 5 * NEURO);
    }

    function _permit(uint256 key, address owner, uint256 amount) internal view returns (uint8, bytes32, bytes32) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(kind, owner, address(escrow), amount, token.nonces(owner), time));
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
    }

    // --- open ---

    function test_open_locks_the_whole_fee() public {
        Quote memory q = _quote();
        bytes32 request = escrow.hashQuote(q);
        vm.expectEmit(address(escrow));
        bytes32 seed = keccak256(abi.encode(request, keccak256("salt")));
        emit IInferenceEscrow.Opened(request, payer, server, MOST * PRICE, seed);
        vm.assertEq(_open(q), request);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - MOST * PRICE);
        vm.assertEq(escrow.totalLocked(), MOST * PRICE);
        vm.assertEq(uint256(escrow.requestOf(request).deadline), time + PROGRESS);
        _assertState(request, IInferenceEscrow.State.Open);
    }

    function test_revert_open_by_another() public {
        Quote memory q = _quote();
        bytes memory signature = _sign(SERVER_KEY, escrow.hashQuote(q));
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.NotPayer.selector, server));
        vm.prank(server);
        escrow.open(q, 0, signature);
    }

    function test_revert_open_twice() public {
        (Quote memory q,) = _opened();
        vm.expectRevert(_wrongState(IInferenceEscrow.State.Open));
        this.open(q);
    }

    function test_revert_open_expired() public {
        Quote memory q = _quote();
        _skip(61);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.QuoteExpired.selector, q.validUntil));
        this.open(q);
    }

    function test_revert_open_unsigned_or_altered() public {
        Quote memory q = _quote();
        bytes memory signature = _sign(SERVER_KEY, escrow.hashQuote(q));
        q.price -= 1;
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.BadSignature.selector, server));
        vm.prank(payer);
        escrow.open(q, 0, signature);
    }

    function test_revert_open_without_deposit() public {
        Quote memory q = _quote();
        q.price = DEPOSIT;
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.InsufficientDeposit.selector, DEPOSIT, MOST * DEPOSIT));
        this.open(q);
    }

    function test_revert_open_terms_that_nobody_could_settle() public {
        for (uint256 i = 0; i < 8; ++i) {
            Quote memory q = _quote();
            if (i == 0) q.payees = new Payee[](0);
            if (i == 1) q.payees = new Payee[](33);
            if (i == 2) q.payees[0].layers = 0;
            if (i == 3) q.payees[0].account = address(0);
            if (i == 4) q.embedding = address(0);
            if (i == 5) q.head = address(0);
            if (i == 6) q.signer = address(0);
            if (i == 7) q.maxTokens = 0;
            bytes memory error = i < 6
                ? abi.encodeWithSelector(IInferenceEscrow.WrongPayees.selector, q.payees.length)
                : abi.encodeWithSelector(IInferenceEscrow.ZeroAmount.selector);
            vm.expectRevert(error);
            this.open(q);
        }
    }

    function open(Quote memory q) external returns (bytes32) {
        return _open(q);
    }

    // --- settle ---

    function test_settle_splits_to_the_wei() public {
        Quote memory q = _quoteOfFive();
        bytes32 request = _open(q);
        uint256 supply = token.totalSupply();
        uint256 fee = 37 * PRICE;
        vm.expectEmit(address(escrow));
        emit IInferenceEscrow.Settled(request, 37, fee * 95 / 100, fee * 5 / 100, (MOST - 37) * PRICE);
        _settle(q, 37);
        uint256 layers = fee * 60 / 100;
        vm.assertEq(escrow.creditOf(_holder(0)), fee * 15 / 100 + layers / 15);
        vm.assertEq(escrow.creditOf(_holder(2)), layers * 3 / 15);
        vm.assertEq(escrow.creditOf(_holder(4)), fee * 20 / 100 + layers * 5 / 15);
        vm.assertEq(supply - token.totalSupply(), fee * 5 / 100);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - fee);
        _assertConserved(q);
        _assertState(request, IInferenceEscrow.State.Settled);
    }

    function test_settle_everything_and_nothing() public {
        (Quote memory q,) = _opened();
        _settle(q, MOST);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - MOST * PRICE);
        (q,) = _opened();
        _settle(q, 0);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - MOST * PRICE);
    }

    function test_a_session_key_signs_vouchers() public {
        Quote memory q = _quote();
        q.signer = vm.addr(0x5E5510);
        bytes32 request = _open(q);
        bytes memory voucher = _sign(0x5E5510, escrow.hashVoucher(request, 9));
        vm.prank(server);
        escrow.settle(q, 9, voucher);
        vm.assertEq(uint256(escrow.requestOf(request).tokens), 9);
    }

    function test_revert_settle() public {
        (Quote memory q, bytes32 request) = _opened();
        bytes memory voucher = _voucher(request, MOST + 1);
        vm.startPrank(server);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.TooManyTokens.selector, MOST + 1, MOST));
        escrow.settle(q, MOST + 1, voucher);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.BadSignature.selector, payer));
        escrow.settle(q, MOST, voucher);
        vm.stopPrank();
        Quote memory other = _quote();
        vm.expectRevert(_wrongState(IInferenceEscrow.State.None));
        this.settle(other, 1);
    }

    function settle(Quote memory q, uint32 tokens) external {
        _settle(q, tokens);
    }

    // --- release, cancel, refund ---

    function test_release_returns_all() public {
        (Quote memory q, bytes32 request) = _opened();
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.NotServer.selector, payer));
        vm.prank(payer);
        escrow.release(q);
        vm.prank(server);
        escrow.release(q);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT);
        _assertState(request, IInferenceEscrow.State.Refunded);
    }

    function test_cancel_and_refund() public {
        (Quote memory q, bytes32 request) = _cancelled(10);
        _assertState(request, IInferenceEscrow.State.Cancelled);
        _skip(SETTLE + 1);
        escrow.refund(q);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - 10 * PRICE);
        vm.assertEq(escrow.creditOf(server), 10 * PRICE * 95 / 100);
        _assertConserved(q);
        _assertState(request, IInferenceEscrow.State.Refunded);
    }

    function test_settle_after_a_cancellation() public {
        (Quote memory q, bytes32 request) = _cancelled(3);
        _settle(q, 20);
        vm.assertEq(uint256(escrow.requestOf(request).tokens), 20);
    }

    function test_revert_cancel() public {
        (Quote memory q,) = _opened();
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.NotPayer.selector, server));
        vm.prank(server);
        escrow.cancel(q, 0);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.TooEarly.selector, time + PROGRESS));
        escrow.cancel(q, 0);
        _skip(PROGRESS);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.TooManyTokens.selector, MOST + 1, MOST));
        escrow.cancel(q, MOST + 1);
        escrow.cancel(q, 0);
        vm.expectRevert(_wrongState(IInferenceEscrow.State.Cancelled));
        escrow.cancel(q, 5);
        vm.stopPrank();
    }

    function test_revert_refund_of_an_open_request() public {
        (Quote memory q,) = _opened();
        _skip(1 days);
        vm.expectRevert(_wrongState(IInferenceEscrow.State.Open));
        escrow.refund(q);
    }

    function test_collect() public {
        (Quote memory q,) = _opened();
        _settle(q, MOST);
        vm.prank(server);
        uint256 amount = escrow.collect();
        vm.assertEq(amount, MOST * PRICE * 95 / 100);
        vm.assertEq(token.balanceOf(server), amount);
    }

    function test_revert_times_of_zero() public {
        vm.expectRevert(IInferenceEscrow.BadTimes.selector);
        new InferenceEscrow(token, 0, SETTLE);
        vm.expectRevert(IInferenceEscrow.BadTimes.selector);
        new InferenceEscrow(token, PROGRESS, 0);
    }
}
