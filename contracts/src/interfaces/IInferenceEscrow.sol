// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { INeuroToken } from "./INeuroToken.sol";

/// @notice Who holds how many layers of the model that answers.
struct Payee {
    address account;
    uint16 layers;
}

/// @notice A server's offer to answer one request, as EIP-712 types it; its digest is the request's id.
/// @param payer Who locks the fee.
/// @param signer Who signs vouchers for the payer; usually the payer.
/// @param server Who signs this quote and streams the answer.
/// @param price Wei a token.
/// @param maxTokens Most tokens of the answer.
/// @param validUntil Last timestamp at which the quote can be opened.
/// @param task Hash of what is asked: model root, vocabulary version, prompt, sampling. See docs/INFERENCE.md.
/// @param embedding Holder of the embedding.
/// @param head Holder of the head.
/// @param payees Holders of layers.
struct Quote {
    address payer;
    address signer;
    address server;
    uint256 price;
    uint32 maxTokens;
    uint64 validUntil;
    bytes32 task;
    address embedding;
    address head;
    Payee[] payees;
}

/// @title IInferenceEscrow
/// @notice Holds what payers deposit, locks it behind requests, and pays servers by cumulative vouchers.
/// @dev Balance of the contract = deposits + locked + credits (plus what anyone sends here by mistake, which is nobody's).
/// EIP-712 domain {name "ponw", version "1", chainId, this contract}. A request ends exactly once: Settled or Refunded.
/// A move is in time while block.timestamp <= deadline; settle and refund never overlap.
interface IInferenceEscrow {
    enum State {
        None,
        Open,
        Cancelled,
        Settled,
        Refunded
    }

    /// @param deadline Open: from when the payer may cancel. Cancelled: last timestamp to settle.
    /// @param tokens Cancelled: what the payer says was served. Settled: what was paid.
    struct Request {
        State state;
        uint64 deadline;
        uint32 tokens;
    }

    event Deposited(address indexed payer, uint256 amount);
    event Withdrawn(address indexed payer, uint256 amount);
    /// @notice `seed` fixes every draw of the answer: keccak256(request || salt), and neither side alone chose it.
    event Opened(bytes32 indexed request, address indexed payer, address indexed server, uint256 locked, bytes32 seed);
    event Cancelled(bytes32 indexed request, uint32 tokens, uint64 deadline);
    event Settled(bytes32 indexed request, uint32 tokens, uint256 paid, uint256 burned, uint256 returned);
    event Refunded(bytes32 indexed request, uint32 tokens, uint256 paid, uint256 burned, uint256 returned);
    event Collected(address indexed account, uint256 amount);

    error ZeroAmount();
    error InsufficientDeposit(uint256 available, uint256 needed);
    error NothingToCollect();
    error NotPayer(address caller);
    error NotServer(address caller);
    error BadSignature(address signer);
    error QuoteExpired(uint64 validUntil);
    error WrongPayees(uint256 count);
    error WrongState(State state);
    error TooManyTokens(uint32 tokens, uint32 most);
    error TooEarly(uint64 from);
    error TooLate(uint64 deadline);

    function token() external view returns (INeuroToken);
    /// @notice Seconds after opening from which a payer may cancel, and seconds that a server then has to settle.
    function progressTime() external view returns (uint64);
    function settleTime() external view returns (uint64);
    function depositOf(address payer) external view returns (uint256);
    function creditOf(address account) external view returns (uint256);
    function totalLocked() external view returns (uint256);
    function requestOf(bytes32 request) external view returns (Request memory);
    function hashQuote(Quote calldata quote) external view returns (bytes32);
    /// @notice EIP-712 digest of Voucher(bytes32 request,uint32 tokens).
    function hashVoucher(bytes32 request, uint32 tokens) external view returns (bytes32);

    function deposit(uint256 amount) external;
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    function withdraw(uint256 amount) external;
    /// @notice Locks maxTokens * price of the caller's deposit behind a quote that its server has signed.
    function open(Quote calldata quote, bytes32 salt, bytes calldata signature) external returns (bytes32 request);
    /// @notice Pays what a voucher covers and returns the rest to the payer. Anyone may call: where the money goes is fixed.
    function settle(Quote calldata quote, uint32 tokens, bytes calldata voucher) external;
    /// @notice Returns all to the payer. Server only: it could not answer.
    function release(Quote calldata quote) external;
    /// @notice Says that only `tokens` were served, progressTime after opening or later; the server may still settle with a
    /// voucher for more until the deadline. Payer only.
    function cancel(Quote calldata quote, uint32 tokens) external;
    /// @notice After the deadline: pays the tokens the payer has named, returns the rest. Anyone may call.
    function refund(Quote calldata quote) external;
    /// @notice Pays the caller what has been credited to it.
    function collect() external returns (uint256 amount);
}
