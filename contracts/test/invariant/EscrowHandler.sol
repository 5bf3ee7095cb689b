// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IInferenceEscrow, Payee, Quote } from "../../src/interfaces/IInferenceEscrow.sol";
import { EscrowFixture } from "../utils/EscrowFixture.sol";

/// @title EscrowHandler
/// @notice Two payers and a server who deposit, open, settle, cancel, refund and release in any order. Each action checks
/// what allows it and then must succeed; each one that nothing allows must revert.
contract EscrowHandler is EscrowFixture {
    uint256 internal constant SECOND_KEY = 0x5EC0;

    address[] public actors;
    Quote[] internal _quotes;
    mapping(bytes32 request => uint256) public terminals;
    uint256 public burned;
    uint256 public unexpected;
    mapping(bytes4 => uint256) public done;

    constructor() {
        setUp();
        actors.push(payer);
        actors.push(vm.addr(SECOND_KEY));
        _fund(actors[1]);
        actors.push(server);
        for (uint256 i = 0; i < 5; ++i) {
            actors.push(_holder(i));
        }
    }

    function actorCount() external view returns (uint256) {
        return actors.length;
    }

    function requestCount() external view returns (uint256) {
        return _quotes.length;
    }

    function quoteAt(uint256 i) external view returns (Quote memory) {
        return _quotes[i];
    }

    function system() external view returns (address, address) {
        return (address(token), address(escrow));
    }

    // --- money ---

    function deposit(uint256 who, uint256 amount) external {
        address account = actors[who % 2];
        amount = amount % NEURO + 1;
        if (token.balanceOf(account) < amount) return;
        vm.prank(account);
        escrow.deposit(amount);
        ++done[this.deposit.selector];
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = actors[who % 2];
        uint256 held = escrow.depositOf(account);
        if (held == 0) return;
        vm.prank(account);
        escrow.withdraw(amount % (held < NEURO ? held : NEURO) + 1);
        ++done[this.withdraw.selector];
    }

    function collect(uint256 who) external {
        address account = actors[who % actors.length];
        if (escrow.creditOf(account) == 0) return;
        vm.prank(account);
        escrow.collect();
        ++done[this.collect.selector];
    }

    // --- requests ---

    function open(uint256 who, uint256 price, uint32 most, uint256 shape) external {
        address account = actors[who % 2];
        Quote memory q = shape % 2 == 0 ? _quote() : _quoteOfFive();
        (q.payer, q.signer) = (account, account);
        q.maxTokens = most % 50 + 1;
        q.price = price % (NEURO / 50) + 1;
        for (uint256 i = 0; i < q.payees.length; ++i) {
            q.payees[i].layers = uint16((shape >> (16 * i + 8)) % 40 + 1);
        }
        if (escrow.depositOf(account) < q.price * q.maxTokens) return;
        _open(q);
        _quotes.push(q);
        ++done[this.open.selector];
    }

    function settle(uint256 which, uint32 tokens) external {
        (bool found, Quote memory q, bytes32 id) = _pick(which);
        if (!found || !_canSettle(id)) return;
        tokens = tokens % (q.maxTokens + 1);
        uint256 key = q.payer == payer ? PAYER_KEY : SECOND_KEY;
        bytes memory voucher = _sign(key, escrow.hashVoucher(id, tokens));
        uint256 supply = token.totalSupply();
        vm.prank(server);
        escrow.settle(q, tokens, voucher);
        _ended(id, supply);
        ++done[this.settle.selector];
    }

    function release(uint256 which) external {
        (bool found, Quote memory q, bytes32 id) = _pick(which);
        if (!found || _over(id) || which % 5 != 0) return;
        vm.prank(server);
        escrow.release(q);
        _ended(id, token.totalSupply());
        ++done[this.release.selector];
    }

    function cancel(uint256 which, uint32 tokens) external {
        (bool found, Quote memory q, bytes32 id) = _pick(which);
        if (!found || escrow.requestOf(id).state != IInferenceEscrow.State.Open) return;
        uint64 from = escrow.requestOf(id).deadline;
        if (time < from) _skip(from - time);
        _cancel(q, tokens % (q.maxTokens + 1));
        ++done[this.cancel.selector];
    }

    function refund(uint256 which) external {
        (bool found, Quote memory q, bytes32 id) = _pick(which);
        if (!found || escrow.requestOf(id).state != IInferenceEscrow.State.Cancelled) return;
        uint64 deadline = escrow.requestOf(id).deadline;
        if (time <= deadline) _skip(deadline + 1 - time);
        uint256 supply = token.totalSupply();
        escrow.refund(q);
        _ended(id, supply);
        ++done[this.refund.selector];
    }

    function pass(uint256 dt) external {
        _skip(dt % PROGRESS);
    }

    /// @notice Tries to end a request that has ended, by every road; none may work.
    function endAgain(uint256 which) external {
        (bool found, Quote memory q, bytes32 id) = _pick(which);
        if (!found || !_over(id)) return;
        bytes memory voucher = _sign(q.payer == payer ? PAYER_KEY : SECOND_KEY, escrow.hashVoucher(id, 1));
        _mustFail(server, abi.encodeCall(escrow.settle, (q, 1, voucher)));
        _mustFail(server, abi.encodeCall(escrow.release, (q)));
        _mustFail(q.payer, abi.encodeCall(escrow.cancel, (q, 0)));
        _mustFail(q.payer, abi.encodeCall(escrow.refund, (q)));
        bytes memory signature = _sign(SERVER_KEY, id);
        _mustFail(q.payer, abi.encodeCall(escrow.open, (q, 0, signature)));
        ++done[this.endAgain.selector];
    }

    // --- inside ---

    function _mustFail(address sender, bytes memory call) private {
        vm.prank(sender);
        (bool ok,) = address(escrow).call(call);
        if (ok) ++unexpected;
    }

    function _ended(bytes32 id, uint256 supply) private {
        ++terminals[id];
        burned += supply - token.totalSupply();
    }

    function _over(bytes32 id) private view returns (bool) {
        IInferenceEscrow.State state = escrow.requestOf(id).state;
        return state == IInferenceEscrow.State.Settled || state == IInferenceEscrow.State.Refunded;
    }

    function _canSettle(bytes32 id) private view returns (bool) {
        IInferenceEscrow.Request memory r = escrow.requestOf(id);
        if (r.state == IInferenceEscrow.State.Open) return true;
        return r.state == IInferenceEscrow.State.Cancelled && time <= r.deadline;
    }

    /// @dev Recent requests more often than old ones.
    function _pick(uint256 which) private view returns (bool found, Quote memory q, bytes32 id) {
        uint256 n = _quotes.length;
        if (n == 0) return (false, q, id);
        uint256 recent = n < 4 ? n : 4;
        q = which % 3 == 0 ? _quotes[(which / 3) % n] : _quotes[n - 1 - (which / 3) % recent];
        return (true, q, escrow.hashQuote(q));
    }
}
