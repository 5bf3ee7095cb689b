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

    /// @notice `payer` added `amount` to its deposit.
    event Deposited(address indexed payer, uint256 amount);
    /// @notice `payer` took `amount` of its deposit out.
    event Withdrawn(address indexed payer, uint256 amount);
    /// @notice `locked` of the payer's deposit stand behind `request`. `seed` fixes every draw of the answer: keccak256(request
    /// || salt); the server signs before it knows the salt, the payer has it before it knows the model's answer.
    event Opened(bytes32 indexed request, address indexed payer, address indexed server, uint256 locked, bytes32 seed);
    /// @notice The payer names `tokens` as served; its server may settle until `deadline`.
    event Cancelled(bytes32 indexed request, uint32 tokens, uint64 deadline);
    /// @notice `tokens` were paid by voucher: `paid` credited, `burned`, and `returned` to the payer's deposit.
    event Settled(bytes32 indexed request, uint32 tokens, uint256 paid, uint256 burned, uint256 returned);
    /// @notice The request ended without a voucher: `tokens` that the payer named were paid, the rest was returned.
    event Refunded(bytes32 indexed request, uint32 tokens, uint256 paid, uint256 burned, uint256 returned);
    /// @notice `account` took its credit out.
    event Collected(address indexed account, uint256 amount);

    /// @notice Thrown when a time of the constructor is 0.
    error BadTimes();
    /// @notice Thrown when an amount, a price, a number of tokens or a signer is 0.
    error ZeroAmount();
    /// @notice Thrown when more is taken than the deposit holds that stands behind no request.
    error InsufficientDeposit(uint256 available, uint256 needed);
    /// @notice Thrown when there is no credit to collect.
    error NothingToCollect();
    /// @notice Thrown when anyone but the quote's payer opens or cancels.
    error NotPayer(address caller);
    /// @notice Thrown when anyone but the quote's server settles or releases.
    error NotServer(address caller);
    /// @notice Thrown when a quote or a voucher is not signed by `signer`.
    error BadSignature(address signer);
    /// @notice Thrown when a quote is opened after its last second.
    error QuoteExpired(uint64 validUntil);
    /// @notice Thrown when a quote has no payees, too many, one that is nobody or holds nothing, or no holder of an end.
    error WrongPayees(uint256 count);
    /// @notice Thrown when a request is not in a state in which the call makes sense.
    error WrongState(State state);
    /// @notice Thrown when more tokens are named than the quote allows.
    error TooManyTokens(uint32 tokens, uint32 most);
    /// @notice Thrown when a request is cancelled or refunded before `from`.
    error TooEarly(uint64 from);
    /// @notice Thrown when a cancelled request is settled after its deadline.
    error TooLate(uint64 deadline);

    /// @notice The token that is paid with.
    function token() external view returns (INeuroToken);
    /// @notice Seconds from opening until the payer may cancel.
    function progressTime() external view returns (uint64);
    /// @notice Seconds that a server has to settle after a cancellation.
    function settleTime() external view returns (uint64);
    /// @notice What `payer` has deposited and not locked.
    function depositOf(address payer) external view returns (uint256);
    /// @notice What `account` may {collect}.
    function creditOf(address account) external view returns (uint256);
    /// @notice What stands behind all live requests.
    function totalLocked() external view returns (uint256);
    /// @notice A request's state.
    function requestOf(bytes32 request) external view returns (Request memory);
    /// @notice EIP-712 digest of a quote: the request's id, and what its server signs.
    function hashQuote(Quote calldata quote) external view returns (bytes32);
    /// @notice EIP-712 digest of Voucher(bytes32 request,uint32 tokens), which the quote's signer signs.
    function hashVoucher(bytes32 request, uint32 tokens) external view returns (bytes32);

    /// @notice Adds `amount` of the caller's NEURO, which it has approved, to its deposit.
    function deposit(uint256 amount) external;
    /// @notice {deposit} with an ERC-2612 permit instead of an approval; one that a stranger spent first does no harm.
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// @notice Pays the caller `amount` of its deposit. What is locked behind requests is no deposit.
    function withdraw(uint256 amount) external;
    /// @notice Locks maxTokens * price of the caller's deposit behind a quote that its server has signed.
    function open(Quote calldata quote, bytes32 salt, bytes calldata signature) external returns (bytes32 request);
    /// @notice Pays what a voucher covers, or what the payer has named if that is more, and returns the rest to the payer.
    /// @dev Server only: the payer holds every voucher it ever signed, and an older one must not end the request.
    function settle(Quote calldata quote, uint32 tokens, bytes calldata voucher) external;
    /// @notice Returns all to the payer. Server only: it could not answer, or forgoes its fee.
    function release(Quote calldata quote) external;
    /// @notice Says that only `tokens` were served, progressTime after opening or later; the server may still settle with a
    /// voucher for more until the deadline. Payer only.
    function cancel(Quote calldata quote, uint32 tokens) external;
    /// @notice After the deadline: pays the tokens the payer has named, returns the rest. Anyone may call.
    function refund(Quote calldata quote) external;
    /// @notice Pays the caller what has been credited to it.
    function collect() external returns (uint256 amount);
}
