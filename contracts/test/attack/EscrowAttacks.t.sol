// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { InferenceEscrow } from "../../src/InferenceEscrow.sol";
import { IInferenceEscrow, Payee, Quote } from "../../src/interfaces/IInferenceEscrow.sol";
import { INeuroToken } from "../../src/interfaces/INeuroToken.sol";
import { EscrowFixture } from "../utils/EscrowFixture.sol";
import { Bomb, ReentrantToken } from "../utils/Hostile.sol";

/// @notice One attack on the escrow a test; every one must cost its author or do nothing.
contract EscrowAttacksTest is EscrowFixture {
    address internal immutable mallory = vm.addr(0x3A11021);

    function test_attack_signature_replay_across_chains_of_a_quote_and_a_voucher() public {
        Quote memory q = _quote();
        bytes memory signature = _sign(SERVER_KEY, escrow.hashQuote(q));
        bytes32 request = _open(q);
        bytes memory voucher = _voucher(request, 50);
        vm.chainId(4242);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.BadSignature.selector, server));
        vm.prank(payer);
        escrow.open(q, 0, signature);
        vm.expectRevert(_wrongState(IInferenceEscrow.State.None));
        vm.prank(server);
        escrow.settle(q, 50, voucher);
    }

    function test_attack_signature_replay_across_chains_in_a_second_escrow() public {
        (Quote memory q, bytes32 request) = _opened();
        InferenceEscrow second = new InferenceEscrow(token, PROGRESS, SETTLE);
        vm.assertTrue(second.hashQuote(q) != request);
        vm.assertTrue(second.hashVoucher(request, 5) != escrow.hashVoucher(request, 5));
    }

    function test_attack_one_bad_payee_blocking_all_payees() public {
        Quote memory q = _quoteOfFive();
        Bomb bomb = new Bomb();
        q.payees[1].account = address(bomb);
        q.head = address(bomb);
        _open(q);
        _settle(q, MOST);
        vm.assertTrue(escrow.creditOf(_holder(2)) != 0);
        vm.prank(_holder(2));
        escrow.collect();
        _assertConserved(q);
    }

    function test_attack_returndata_bomb() public {
        Quote memory q = _quote();
        _open(q);
        uint256 honest = _gasToSettle(q);
        q = _quote();
        q.payees[0].account = address(new Bomb());
        _open(q);
        // No payee is ever called, so one that answers with a megabyte costs what any new account costs.
        vm.assertLt(_gasToSettle(q), honest + 60_000, "gas to settle");
    }

    function _gasToSettle(Quote memory q) private returns (uint256 used) {
        bytes memory voucher = _voucher(escrow.hashQuote(q), 10);
        vm.prank(server);
        uint256 before = gasleft();
        escrow.settle(q, 10, voucher);
        used = before - gasleft();
    }

    function test_attack_dust_created_or_lost(uint256 price, uint32 most, uint32 tokens, uint16[5] memory layers)
        public
    {
        Quote memory q = _quoteOfFive();
        q.maxTokens = most % 5000 + 1;
        q.price = price % (DEPOSIT / q.maxTokens) + 1;
        for (uint256 i = 0; i < 5; ++i) {
            q.payees[i].layers = layers[i] == 0 ? 1 : layers[i];
        }
        tokens = tokens % (q.maxTokens + 1);
        _open(q);
        uint256 supply = token.totalSupply();
        _settle(q, tokens);
        _assertConserved(q);
        uint256 fee = q.price * tokens;
        uint256 credited = escrow.creditOf(_holder(0)) + escrow.creditOf(_holder(1)) + escrow.creditOf(_holder(2))
            + escrow.creditOf(_holder(3)) + escrow.creditOf(_holder(4));
        uint256 burned = supply - token.totalSupply();
        uint256 rounding = escrow.depositOf(payer) - (DEPOSIT - fee);
        vm.assertEq(credited + burned + rounding, fee, "every wei of the fee");
        vm.assertLe(rounding, 7, "a wei a part at most");
    }

    function test_attack_rounding_to_zero_pays_the_payer_back() public {
        Quote memory q = _quoteOfFive();
        q.price = 1;
        _open(q);
        _settle(q, 1);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT, "one wei divides into nothing");
        _assertConserved(q);
    }

    function test_attack_settle_and_refund() public {
        (Quote memory q, bytes32 request) = _cancelled(0);
        _settle(q, 40);
        _skip(SETTLE + 1);
        bytes memory settled = _wrongState(IInferenceEscrow.State.Settled);
        vm.expectRevert(settled);
        escrow.refund(q);
        vm.expectRevert(settled);
        this.cancel(q, 0);
        bytes memory voucher = _voucher(request, 41);
        vm.startPrank(server);
        vm.expectRevert(settled);
        escrow.settle(q, 41, voucher);
        vm.expectRevert(settled);
        escrow.release(q);
        vm.stopPrank();
    }

    function test_attack_settle_and_refund_the_other_way() public {
        (Quote memory q, bytes32 request) = _cancelled(0);
        _skip(SETTLE + 1);
        escrow.refund(q);
        bytes memory voucher = _voucher(request, 40);
        vm.expectRevert(_wrongState(IInferenceEscrow.State.Refunded));
        vm.prank(server);
        escrow.settle(q, 40, voucher);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT);
    }

    function test_attack_deadline_overlap() public {
        (Quote memory q, bytes32 request) = _cancelled(0);
        bytes memory voucher = _voucher(request, 40);
        _skip(SETTLE);
        // The last second belongs to the server alone, the next one to the payer alone.
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.TooEarly.selector, time));
        escrow.refund(q);
        _skip(1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.TooLate.selector, time - 1));
        vm.prank(server);
        escrow.settle(q, 40, voucher);
        escrow.refund(q);
    }

    function test_attack_last_second_move_of_a_payer_leaves_the_server_its_time() public {
        (Quote memory q, bytes32 request) = _opened();
        _skip(365 days);
        _cancel(q, 0);
        vm.assertEq(uint256(escrow.requestOf(request).deadline), time + SETTLE, "a whole settling time");
    }

    function test_attack_payer_withdrawing_mid_request() public {
        (Quote memory q,) = _opened();
        uint256 free = DEPOSIT - MOST * PRICE;
        vm.startPrank(payer);
        escrow.withdraw(free);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.InsufficientDeposit.selector, 0, 1));
        escrow.withdraw(1);
        vm.stopPrank();
        _settle(q, MOST);
        vm.assertEq(escrow.creditOf(server), MOST * PRICE * 95 / 100);
    }

    function test_attack_duplicate_payee() public {
        Quote memory q = _quote();
        q.payees = new Payee[](3);
        for (uint256 i = 0; i < 3; ++i) {
            q.payees[i] = Payee(server, 2);
        }
        _open(q);
        _settle(q, MOST);
        vm.assertEq(escrow.creditOf(server), MOST * PRICE * 95 / 100, "the same as named once");
        _assertConserved(q);
    }

    function test_attack_voucher_replay_and_downgrade() public {
        (Quote memory first, bytes32 request) = _opened();
        (Quote memory second,) = _opened();
        bytes memory voucher = _voucher(request, 60);
        bytes memory old = _voucher(request, 5);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.BadSignature.selector, payer));
        vm.prank(server);
        escrow.settle(second, 60, voucher);
        // The payer keeps every voucher it signed, and must not be able to end the request with an old one.
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.NotServer.selector, payer));
        vm.prank(payer);
        escrow.settle(first, 5, old);
        vm.prank(server);
        escrow.settle(first, 60, voucher);
        vm.assertEq(uint256(escrow.requestOf(request).tokens), 60);
    }

    function test_attack_voucher_replay_and_downgrade_below_what_the_payer_named() public {
        (Quote memory q, bytes32 request) = _cancelled(10);
        _settle(q, 4);
        vm.assertEq(uint256(escrow.requestOf(request).tokens), 10);
    }

    function test_attack_permit_front_run_of_a_deposit() public {
        vm.assertTrue(token.transfer(server, 5 * NEURO));
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(kind, server, address(escrow), 5 * NEURO, token.nonces(server), time));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(SERVER_KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
        vm.prank(mallory);
        token.permit(server, address(escrow), 5 * NEURO, time, v, r, s);
        vm.prank(server);
        escrow.depositWithPermit(5 * NEURO, time, v, r, s);
        vm.assertEq(escrow.depositOf(server), 5 * NEURO);
    }

    function test_attack_donation_inflation_of_deposits() public {
        (Quote memory q,) = _opened();
        vm.assertTrue(token.transfer(address(escrow), 500 * NEURO));
        _settle(q, MOST);
        vm.assertEq(escrow.creditOf(server), MOST * PRICE * 95 / 100);
        vm.assertEq(escrow.depositOf(payer), DEPOSIT - MOST * PRICE);
    }

    function test_attack_unbounded_loop_of_payees() public {
        Quote memory q = _quote();
        q.payees = new Payee[](32);
        for (uint256 i = 0; i < 32; ++i) {
            q.payees[i] = Payee(_holder(i), 1);
        }
        _open(q);
        vm.assertLt(_gasToSettle(q), 1_200_000, "the largest settlement");
        q = _quote();
        q.payees = new Payee[](10_000);
        vm.expectRevert(abi.encodeWithSelector(IInferenceEscrow.WrongPayees.selector, 10_000));
        this.open(q);
    }

    function test_attack_reorged_move_of_a_settlement() public {
        (Quote memory q, bytes32 request) = _opened();
        bytes memory voucher = _voucher(request, 30);
        _skip(PROGRESS);
        uint256 fork = vm.snapshotState();
        vm.prank(server);
        escrow.settle(q, 30, voucher);
        uint256 credit = escrow.creditOf(server);
        // In the other branch the payer's cancellation comes first: the same transaction still gets the same money.
        vm.assertTrue(vm.revertToState(fork));
        _cancel(q, 0);
        vm.prank(server);
        escrow.settle(q, 30, voucher);
        vm.assertEq(escrow.creditOf(server), credit);
    }

    function test_attack_reentrant_token() public {
        ReentrantToken evil = new ReentrantToken();
        InferenceEscrow target = new InferenceEscrow(INeuroToken(address(evil)), PROGRESS, SETTLE);
        evil.mint(address(this), 10);
        evil.mint(address(target), 90);
        target.deposit(10);
        evil.attack(target);
        target.withdraw(10);
        vm.assertEq(evil.balanceOf(address(this)), 10, "each wei comes back once");
        vm.assertTrue(evil.tried());
    }

    function cancel(Quote memory q, uint32 tokens) external {
        _cancel(q, tokens);
    }

    function open(Quote memory q) external returns (bytes32) {
        return _open(q);
    }
}
