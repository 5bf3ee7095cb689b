// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IERC5805 } from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import { INeuroToken } from "./INeuroToken.sol";

/// @title IStaking
/// @notice Holds stake. Its keepers, fixed at deployment, lock bonds in it and slash it: the registry, the vocabulary, the
/// court of answers and the quorums; nobody else can touch an
/// account's stake. Active stake votes (ERC-5805, by timestamp): for its owner, or for whom the owner delegated it to.
/// @dev Votes = active stake, always: thawing and slashed stake has no vote from that second on. Delegating to address 0
/// gives the votes back to the owner. Balance of the contract = all active + all thawing + all credits (plus what anyone sends here by mistake, which
/// is nobody's). Amounts are wei of NEURO.
interface IStaking is IERC5805 {
    /// @param active Stake that counts, locked part included.
    /// @param locked Part of `active` that stands behind open claims and challenges; it cannot thaw.
    /// @param thawing Stake on its way out, still slashable until it has left.
    /// @param thawEnds Timestamp from which `thawing` can be withdrawn.
    struct Account {
        uint128 active;
        uint128 locked;
        uint128 thawing;
        uint64 thawEnds;
    }

    /// @notice `account` added `amount`; it now has `active`.
    event Staked(address indexed account, uint256 amount, uint256 active);
    /// @notice `account` moved `amount` into its thaw bucket, which opens at `thawEnds`.
    event Thawed(address indexed account, uint256 amount, uint64 thawEnds);
    /// @notice `account` took `amount` of thawed stake out.
    event Withdrawn(address indexed account, uint256 amount);
    /// @notice `amount` of the stake of `account` now stands behind a bond.
    event Locked(address indexed account, uint256 amount);
    /// @notice `amount` of the stake of `account` is free again.
    event Unlocked(address indexed account, uint256 amount);
    /// @notice `account` lost `amount`; `beneficiary` was credited `share`, the rest was burned.
    event Slashed(address indexed account, address indexed beneficiary, uint256 amount, uint256 share);
    /// @notice `account` took its credit out.
    event Collected(address indexed account, uint256 amount);

    /// @notice Thrown when an amount is 0.
    error ZeroAmount();
    /// @notice Thrown when active stake would end, or stands, above 0 but below the minimum.
    error BelowMinimum(uint256 active, uint256 minimum);
    /// @notice Thrown when more is asked for than active stake not locked.
    error InsufficientStake(uint256 free, uint256 needed);
    /// @notice Thrown when there is no thawing stake to withdraw.
    error NothingThawing();
    /// @notice Thrown when stake is withdrawn before `until`.
    error StillThawing(uint64 until);
    /// @notice Thrown when new stake would join a bucket that has thawed and so restart its clock.
    error WithdrawFirst();
    /// @notice Thrown when there is no credit to collect.
    error NothingToCollect();
    /// @notice Thrown when a beneficiary's share is above the slashed amount.
    error ShareAboveAmount(uint256 share, uint256 amount);
    /// @notice Thrown when anyone but a keeper locks, unlocks or slashes.
    error OnlyKeeper(address caller);

    /// @notice The staked token.
    function token() external view returns (INeuroToken);
    /// @notice Holds claims; may lock, unlock and slash.
    function registry() external view returns (address);
    /// @notice Holds vocabulary proposals; may lock, unlock and slash.
    function vocabulary() external view returns (address);
    /// @notice Judges signed answers; may lock, unlock and slash. What it locks it frees itself.
    function court() external view returns (address);
    /// @notice Holds sessions of quorums; may lock, unlock and slash.
    function quorums() external view returns (address);
    /// @notice Least active stake of a staker, in wei.
    function minimumStake() external view returns (uint256);
    /// @notice Seconds from thaw to withdrawal.
    function thawPeriod() external view returns (uint64);
    /// @notice Sum of all active stake.
    function totalActive() external view returns (uint256);
    /// @notice All of an account's figures.
    function accountOf(address account) external view returns (Account memory);
    /// @notice Active stake of an account, locked part included.
    function activeOf(address account) external view returns (uint256);
    /// @notice What an account may {collect}.
    function creditOf(address account) external view returns (uint256);
    /// @notice Whether an account's active stake reaches the minimum.
    function isStaker(address account) external view returns (bool);

    /// @notice Stakes `amount` of the caller's NEURO, which it has approved.
    function stake(uint256 amount) external;
    /// @notice {stake} with an ERC-2612 permit instead of an approval.
    /// @dev A permit that somebody else has already spent for the caller does no harm: the allowance decides.
    function stakeWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// @notice Starts the thaw of `amount` of free active stake; what stays must be 0 or the minimum.
    /// @dev Warning: there is one bucket. Thawing again restarts the clock for all that is in it.
    function thaw(uint256 amount) external;
    /// @notice Pays the whole thawed bucket to the caller.
    function withdraw() external returns (uint256 amount);
    /// @notice Pays the caller its credit from slashed bonds.
    function collect() external returns (uint256 amount);

    /// @notice Locks `amount` of a staker's free active stake. Keepers only.
    function lock(address account, uint256 amount) external;
    /// @notice Frees `amount` of locked stake, or all that is locked if that is less. Keepers only.
    function unlock(address account, uint256 amount) external;
    /// @notice Takes `amount` of the stake of `account`, active stake first, then thawing. Keepers only.
    /// @dev The registry and the quorums slash what is locked, so their slash frees as much of the lock; the vocabulary slashes a proposer
    /// whose bond was given back, so its slash frees none, but no more stays locked than is active. Where less than `amount` is left, all is taken and the share shrinks in proportion, rounded down; the burned
    /// part is rounded up.
    /// @param beneficiary Who is credited.
    /// @param share The part of `amount` credited; the rest is burned.
    function slash(address account, uint256 amount, address beneficiary, uint256 share) external;
}
