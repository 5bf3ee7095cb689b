// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { StakeVotes } from "./StakeVotes.sol";
import { INeuroToken } from "./interfaces/INeuroToken.sol";
import { IStaking } from "./interfaces/IStaking.sol";

/// @title Staking
/// @notice Stake, thaw, withdraw; lock, unlock and slash for its keepers; votes. See {IStaking}.
contract Staking is IStaking, StakeVotes {
    using SafeCast for uint256;
    using SafeERC20 for INeuroToken;

    /// @inheritdoc IStaking
    INeuroToken public immutable token;
    /// @inheritdoc IStaking
    address public immutable registry;
    /// @inheritdoc IStaking
    address public immutable vocabulary;
    /// @inheritdoc IStaking
    address public immutable court;
    /// @inheritdoc IStaking
    address public immutable quorums;
    /// @inheritdoc IStaking
    uint256 public immutable minimumStake;
    /// @inheritdoc IStaking
    uint64 public immutable thawPeriod;
    /// @inheritdoc IStaking
    mapping(address account => uint256) public creditOf;

    mapping(address account => Account) private _accounts;

    modifier onlyKeeper() {
        _checkKeeper();
        _;
    }

    /// @param registry_ The work registry, usually at an address computed beforehand.
    /// @param vocabulary_ Where proposers' bonds stand, at an address computed beforehand; 0 for none.
    /// @param court_ The court of answers, likewise.
    /// @param quorums_ Where bonds of quorums' members stand, likewise.
    /// @param minimumStake_ Least active stake, in wei.
    /// @param thawPeriod_ Seconds from thaw to withdrawal.
    constructor(
        INeuroToken token_,
        address registry_,
        address vocabulary_,
        address court_,
        address quorums_,
        uint256 minimumStake_,
        uint64 thawPeriod_
    ) EIP712("ponw", "1") {
        token = token_;
        registry = registry_;
        vocabulary = vocabulary_;
        court = court_;
        quorums = quorums_;
        minimumStake = minimumStake_;
        thawPeriod = thawPeriod_;
    }

    /// @inheritdoc IStaking
    function stake(uint256 amount) external {
        _stake(amount);
    }

    /// @inheritdoc IStaking
    function stakeWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // A copied permit spent first by a stranger must not block the stake; without allowance the transfer reverts.
        try token.permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        _stake(amount);
    }

    /// @inheritdoc IStaking
    function thaw(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        Account storage account = _accounts[msg.sender];
        uint256 active = account.active;
        uint256 free = active - account.locked;
        if (amount > free) revert InsufficientStake(free, amount);
        if (account.thawing != 0 && block.timestamp >= account.thawEnds) revert WithdrawFirst();
        active -= amount;
        if (active != 0 && active < minimumStake) revert BelowMinimum(active, minimumStake);
        uint64 thawEnds = (block.timestamp + thawPeriod).toUint64();
        account.active = active.toUint128();
        account.thawing += amount.toUint128();
        account.thawEnds = thawEnds;
        _removeVotes(msg.sender, amount);
        emit Thawed(msg.sender, amount, thawEnds);
    }

    /// @inheritdoc IStaking
    function withdraw() external returns (uint256 amount) {
        Account storage account = _accounts[msg.sender];
        amount = account.thawing;
        if (amount == 0) revert NothingThawing();
        if (block.timestamp < account.thawEnds) revert StillThawing(account.thawEnds);
        account.thawing = 0;
        account.thawEnds = 0;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStaking
    function collect() external returns (uint256 amount) {
        amount = creditOf[msg.sender];
        if (amount == 0) revert NothingToCollect();
        creditOf[msg.sender] = 0;
        emit Collected(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStaking
    function lock(address account_, uint256 amount) external onlyKeeper {
        Account storage account = _accounts[account_];
        uint256 active = account.active;
        uint256 locked = account.locked;
        if (active < minimumStake) revert BelowMinimum(active, minimumStake);
        if (amount > active - locked) revert InsufficientStake(active - locked, amount);
        account.locked = (locked + amount).toUint128();
        emit Locked(account_, amount);
    }

    /// @inheritdoc IStaking
    function unlock(address account_, uint256 amount) external onlyKeeper {
        Account storage account = _accounts[account_];
        uint256 locked = account.locked;
        if (amount > locked) amount = locked;
        account.locked = (locked - amount).toUint128();
        emit Unlocked(account_, amount);
    }

    /// @inheritdoc IStaking
    function slash(address account_, uint256 amount, address beneficiary, uint256 share) external onlyKeeper {
        if (share > amount) revert ShareAboveAmount(share, amount);
        if (amount == 0) revert ZeroAmount();
        // A claim's and a member's bond is locked; a proposer's has been given back, and other bonds' locks are not its to
        // free.
        bool locked = msg.sender == registry || msg.sender == quorums;
        uint256 taken = _take(account_, amount, locked ? amount : 0);
        if (taken != amount) share = Math.mulDiv(share, taken, amount);
        if (share != 0) creditOf[beneficiary] += share;
        emit Slashed(account_, beneficiary, taken, share);
        if (taken != share) token.burn(taken - share);
    }

    /// @inheritdoc IStaking
    function accountOf(address account) external view returns (Account memory) {
        return _accounts[account];
    }

    /// @inheritdoc IStaking
    function activeOf(address account) external view returns (uint256) {
        return _accounts[account].active;
    }

    /// @inheritdoc IStaking
    function totalActive() external view returns (uint256) {
        return _totalVotes();
    }

    /// @inheritdoc IStaking
    function isStaker(address account) external view returns (bool) {
        uint256 active = _accounts[account].active;
        return active != 0 && active >= minimumStake;
    }

    function _stake(uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Account storage account = _accounts[msg.sender];
        uint256 active = account.active + amount;
        if (active < minimumStake) revert BelowMinimum(active, minimumStake);
        account.active = active.toUint128();
        _addVotes(msg.sender, amount);
        emit Staked(msg.sender, amount, active);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @dev Takes up to `amount`, active stake first, then thawing, and frees up to `freed` of the lock.
    function _take(address account_, uint256 amount, uint256 freed) private returns (uint256 taken) {
        Account storage account = _accounts[account_];
        uint256 active = account.active;
        uint256 locked = account.locked;
        // Plain comparisons, which a solver can follow; a minimum without branches multiplies.
        uint256 fromActive = amount < active ? amount : active;
        uint256 rest = amount - fromActive;
        uint256 fromThawing = rest < account.thawing ? rest : account.thawing;
        active -= fromActive;
        locked = locked < freed ? 0 : locked - freed;
        // Never more locked than there is: such a slash eats into stake that other bonds stand on.
        if (locked > active) locked = active;
        account.active = active.toUint128();
        account.locked = locked.toUint128();
        if (fromThawing != 0) account.thawing -= fromThawing.toUint128();
        if (fromActive != 0) _removeVotes(account_, fromActive);
        taken = fromActive + fromThawing;
    }

    function _stakeOf(address account) internal view override returns (uint256) {
        return _accounts[account].active;
    }

    function _checkKeeper() private view {
        if (msg.sender == registry || msg.sender == vocabulary) return;
        if (msg.sender == court || msg.sender == quorums) return;
        revert OnlyKeeper(msg.sender);
    }
}
