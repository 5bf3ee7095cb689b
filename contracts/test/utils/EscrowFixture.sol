// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { InferenceEscrow } from "../../src/InferenceEscrow.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { IInferenceEscrow, Payee, Quote } from "../../src/interfaces/IInferenceEscrow.sol";

/// @title EscrowFixture
/// @notice An escrow, a payer with a deposit, a server, and quotes over one or five payees.
abstract contract EscrowFixture {
    uint256 internal constant NEURO = 1e18;
    uint256 internal constant DEPOSIT = 100 * NEURO;
    uint256 internal constant PRICE = 0.0001e18;
    uint32 internal constant MOST = 100;
    uint64 internal constant PROGRESS = 30;
    uint64 internal constant SETTLE = 30;
    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant SERVER_KEY = 0x5E4E4;

    NeuroToken internal token;
    InferenceEscrow internal escrow;
    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable server = vm.addr(SERVER_KEY);

    /// @dev Kept beside block.timestamp, which an optimiser may take for constant within a test.
    uint256 internal time = 1_800_000_000;
    uint256 private _tasks;

    function setUp() public virtual {
        vm.warp(time);
        token = new NeuroToken(address(this), address(this), 1_000_000 * NEURO, 10_000_000 * NEURO);
        escrow = new InferenceEscrow(token, PROGRESS, SETTLE);
        _fund(payer);
    }

    function _fund(address account) internal {
        vm.assertTrue(token.transfer(account, 2 * DEPOSIT));
        vm.startPrank(account);
        token.approve(address(escrow), type(uint256).max);
        escrow.deposit(DEPOSIT);
        vm.stopPrank();
    }

    function _skip(uint256 dt) internal {
        time += dt;
        vm.warp(time);
    }

    function _quote() internal returns (Quote memory q) {
        q.payer = payer;
        q.signer = payer;
        q.server = server;
        q.price = PRICE;
        q.maxTokens = MOST;
        q.validUntil = uint64(time + 60);
        q.task = keccak256(abi.encode("task", ++_tasks));
        q.embedding = server;
        q.head = server;
        q.payees = new Payee[](1);
        q.payees[0] = Payee(server, 6);
    }

    /// @dev Five nodes with different numbers of layers; ends held by the first and the last.
    function _quoteOfFive() internal returns (Quote memory q) {
        q = _quote();
        q.payees = new Payee[](5);
        for (uint16 i = 0; i < 5; ++i) {
            q.payees[i] = Payee(_holder(i), i + 1);
        }
        q.embedding = _holder(0);
        q.head = _holder(4);
    }

    function _holder(uint256 i) internal pure returns (address) {
        return vm.addr(0xF00D + i);
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _open(Quote memory q) internal returns (bytes32 request) {
        bytes memory signature = _sign(SERVER_KEY, escrow.hashQuote(q));
        vm.prank(q.payer);
        return escrow.open(q, keccak256("salt"), signature);
    }

    function _opened() internal returns (Quote memory q, bytes32 request) {
        q = _quote();
        request = _open(q);
    }

    function _voucher(bytes32 request, uint32 tokens) internal view returns (bytes memory) {
        return _sign(PAYER_KEY, escrow.hashVoucher(request, tokens));
    }

    function _settle(Quote memory q, uint32 tokens) internal {
        bytes memory voucher = _voucher(escrow.hashQuote(q), tokens);
        vm.prank(q.server);
        escrow.settle(q, tokens, voucher);
    }

    function _cancel(Quote memory q, uint32 tokens) internal {
        vm.prank(q.payer);
        escrow.cancel(q, tokens);
    }

    function _cancelled(uint32 tokens) internal returns (Quote memory q, bytes32 request) {
        (q, request) = _opened();
        _skip(PROGRESS);
        _cancel(q, tokens);
    }

    function _assertState(bytes32 request, IInferenceEscrow.State expected) internal view {
        vm.assertEq(uint256(escrow.requestOf(request).state), uint256(expected), "state");
    }

    function _wrongState(IInferenceEscrow.State state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IInferenceEscrow.WrongState.selector, state);
    }

    /// @dev Every wei that the escrow holds is somebody's.
    function _assertConserved(Quote memory q) internal view {
        uint256 owed = escrow.depositOf(q.payer) + escrow.totalLocked();
        address[] memory seen = new address[](q.payees.length + 2);
        (seen[0], seen[1]) = (q.embedding, q.head);
        for (uint256 i = 0; i < q.payees.length; ++i) {
            seen[i + 2] = q.payees[i].account;
        }
        for (uint256 i = 0; i < seen.length; ++i) {
            bool before;
            for (uint256 j = 0; j < i; ++j) {
                before = before || seen[j] == seen[i];
            }
            if (!before) owed += escrow.creditOf(seen[i]);
        }
        vm.assertEq(token.balanceOf(address(escrow)), owed, "balance = deposits + locked + credits");
    }
}
