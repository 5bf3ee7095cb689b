// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IInferenceEscrow, Quote } from "./interfaces/IInferenceEscrow.sol";
import { INeuroToken } from "./interfaces/INeuroToken.sol";
import { QuoteLib } from "./libraries/QuoteLib.sol";
import { Split } from "./libraries/Split.sol";

/// @title InferenceEscrow
/// @notice Deposits, requests, vouchers, and who is paid. See {IInferenceEscrow}.
/// @dev No owner. All calls out go to the fixed token, after every change of state.
contract InferenceEscrow is IInferenceEscrow, EIP712 {
    using QuoteLib for Quote;
    using SafeCast for uint256;
    using SafeERC20 for INeuroToken;

    /// @notice Most payees of one quote.
    uint256 public constant MAX_PAYEES = 32;

    /// @inheritdoc IInferenceEscrow
    INeuroToken public immutable token;
    /// @inheritdoc IInferenceEscrow
    uint64 public immutable progressTime;
    /// @inheritdoc IInferenceEscrow
    uint64 public immutable settleTime;
    /// @inheritdoc IInferenceEscrow
    uint256 public totalLocked;
    /// @inheritdoc IInferenceEscrow
    mapping(address payer => uint256) public depositOf;
    /// @inheritdoc IInferenceEscrow
    mapping(address account => uint256) public creditOf;

    mapping(bytes32 request => Request) private _requests;

    /// @param progressTime_ Seconds from opening until the payer may cancel.
    /// @param settleTime_ Seconds that a server has to settle after a cancellation.
    constructor(INeuroToken token_, uint64 progressTime_, uint64 settleTime_) EIP712("ponw", "1") {
        if (progressTime_ == 0 || settleTime_ == 0) revert BadTimes();
        (token, progressTime, settleTime) = (token_, progressTime_, settleTime_);
    }

    /// @inheritdoc IInferenceEscrow
    function deposit(uint256 amount) external {
        _deposit(amount);
    }

    /// @inheritdoc IInferenceEscrow
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // A copied permit spent first by a stranger must not block the deposit; without allowance the transfer reverts.
        try token.permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        _deposit(amount);
    }

    /// @inheritdoc IInferenceEscrow
    function withdraw(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        _takeDeposit(amount);
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IInferenceEscrow
    function open(Quote calldata quote, bytes32 salt, bytes calldata signature) external returns (bytes32 request) {
        if (msg.sender != quote.payer) revert NotPayer(msg.sender);
        if (block.timestamp > quote.validUntil) revert QuoteExpired(quote.validUntil);
        _checkTerms(quote);
        request = hashQuote(quote);
        if (_requests[request].state != State.None) revert WrongState(_requests[request].state);
        if (ECDSA.recoverCalldata(request, signature) != quote.server) revert BadSignature(quote.server);
        uint256 fee = quote.price * quote.maxTokens;
        _takeDeposit(fee);
        totalLocked += fee;
        uint64 deadline = (block.timestamp + progressTime).toUint64();
        _requests[request] = Request({ state: State.Open, deadline: deadline, tokens: 0 });
        emit Opened(request, quote.payer, quote.server, fee, keccak256(abi.encode(request, salt)));
    }

    /// @inheritdoc IInferenceEscrow
    function settle(Quote calldata quote, uint32 tokens, bytes calldata voucher) external {
        if (msg.sender != quote.server) revert NotServer(msg.sender);
        bytes32 request = hashQuote(quote);
        Request memory r = _live(request);
        if (r.state == State.Cancelled && block.timestamp > r.deadline) revert TooLate(r.deadline);
        if (tokens > quote.maxTokens) revert TooManyTokens(tokens, quote.maxTokens);
        bytes32 digest = hashVoucher(request, tokens);
        if (ECDSA.recoverCalldata(digest, voucher) != quote.signer) revert BadSignature(quote.signer);
        // What the payer has named itself is owed even if this voucher is an older one.
        if (r.state == State.Cancelled && tokens < r.tokens) tokens = r.tokens;
        _requests[request] = Request({ state: State.Settled, deadline: 0, tokens: tokens });
        (uint256 paid, uint256 burned, uint256 back) = _pay(quote, tokens);
        emit Settled(request, tokens, paid, burned, back);
        _burn(burned);
    }

    /// @inheritdoc IInferenceEscrow
    function release(Quote calldata quote) external {
        if (msg.sender != quote.server) revert NotServer(msg.sender);
        bytes32 request = hashQuote(quote);
        _live(request);
        _requests[request] = Request({ state: State.Refunded, deadline: 0, tokens: 0 });
        (,, uint256 back) = _pay(quote, 0);
        emit Refunded(request, 0, 0, 0, back);
    }

    /// @inheritdoc IInferenceEscrow
    function cancel(Quote calldata quote, uint32 tokens) external {
        if (msg.sender != quote.payer) revert NotPayer(msg.sender);
        bytes32 request = hashQuote(quote);
        Request memory r = _requests[request];
        if (r.state != State.Open) revert WrongState(r.state);
        if (block.timestamp < r.deadline) revert TooEarly(r.deadline);
        if (tokens > quote.maxTokens) revert TooManyTokens(tokens, quote.maxTokens);
        uint64 deadline = (block.timestamp + settleTime).toUint64();
        _requests[request] = Request({ state: State.Cancelled, deadline: deadline, tokens: tokens });
        emit Cancelled(request, tokens, deadline);
    }

    /// @inheritdoc IInferenceEscrow
    function refund(Quote calldata quote) external {
        bytes32 request = hashQuote(quote);
        Request memory r = _requests[request];
        if (r.state != State.Cancelled) revert WrongState(r.state);
        if (block.timestamp <= r.deadline) revert TooEarly(r.deadline);
        _requests[request] = Request({ state: State.Refunded, deadline: 0, tokens: r.tokens });
        (uint256 paid, uint256 burned, uint256 back) = _pay(quote, r.tokens);
        emit Refunded(request, r.tokens, paid, burned, back);
        _burn(burned);
    }

    /// @inheritdoc IInferenceEscrow
    function collect() external returns (uint256 amount) {
        amount = creditOf[msg.sender];
        if (amount == 0) revert NothingToCollect();
        creditOf[msg.sender] = 0;
        emit Collected(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IInferenceEscrow
    function requestOf(bytes32 request) external view returns (Request memory) {
        return _requests[request];
    }

    /// @inheritdoc IInferenceEscrow
    function hashQuote(Quote calldata quote) public view returns (bytes32) {
        return _hashTypedDataV4(quote.structHash());
    }

    /// @inheritdoc IInferenceEscrow
    function hashVoucher(bytes32 request, uint32 tokens) public view returns (bytes32) {
        return _hashTypedDataV4(QuoteLib.voucherHash(request, tokens));
    }

    function _deposit(uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        depositOf[msg.sender] += amount;
        emit Deposited(msg.sender, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    function _takeDeposit(uint256 amount) private {
        uint256 held = depositOf[msg.sender];
        if (amount > held) revert InsufficientDeposit(held, amount);
        depositOf[msg.sender] = held - amount;
    }

    /// @dev Shares out `tokens` of a request and gives the rest of its lock back; each request comes here once.
    function _pay(Quote calldata quote, uint32 tokens) private returns (uint256 paid, uint256 burned, uint256 back) {
        uint256 locked = quote.price * quote.maxTokens;
        Split.Parts memory p = Split.parts(quote.price * tokens);
        totalLocked -= locked;
        paid = _credit(quote.embedding, p.embedding) + _credit(quote.head, p.head);
        uint256 layers = quote.layersOf();
        for (uint256 i = 0; i < quote.payees.length; ++i) {
            paid += _credit(quote.payees[i].account, Split.down(p.layers, quote.payees[i].layers, layers));
        }
        burned = p.burned;
        back = locked - paid - burned;
        depositOf[quote.payer] += back;
    }

    function _credit(address account, uint256 amount) private returns (uint256) {
        if (amount != 0) creditOf[account] += amount;
        return amount;
    }

    function _burn(uint256 amount) private {
        if (amount != 0) token.burn(amount);
    }

    function _live(bytes32 request) private view returns (Request memory r) {
        r = _requests[request];
        if (r.state != State.Open && r.state != State.Cancelled) revert WrongState(r.state);
    }

    /// @dev The payer checks that price, payees and signer are those it wants; this keeps every settlement possible.
    function _checkTerms(Quote calldata quote) private pure {
        uint256 count = quote.payees.length;
        if (count == 0 || count > MAX_PAYEES || quote.layersOf() == 0) revert WrongPayees(count);
        if (quote.embedding == address(0) || quote.head == address(0)) revert WrongPayees(count);
        if (quote.signer == address(0) || quote.price == 0 || quote.maxTokens == 0) revert ZeroAmount();
    }
}
