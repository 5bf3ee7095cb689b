// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { INeuroToken } from "./INeuroToken.sol";

/// @title IEmission
/// @notice The only minter of NEURO. Rewards accrue at once and are minted on collection within the caps.
/// @dev What a cap holds back stays accrued and can be collected later: nothing is lost. A cap of an epoch is first come,
/// first served.
interface IEmission {
    /// @param epochLength Seconds in an epoch.
    /// @param dayLength Seconds in a day of the node cap, counted from timestamp 0: 86400 gives UTC days.
    /// @param halvingEpochs Epochs after which the epoch cap halves.
    /// @param epochCap Most wei minted in an epoch before the first halving.
    /// @param nodeDayCap Most wei minted for one node in a day.
    struct Schedule {
        uint64 epochLength;
        uint64 dayLength;
        uint64 halvingEpochs;
        uint256 epochCap;
        uint256 nodeDayCap;
    }

    /// @notice `node` earned `amount`; `accrued` waits in all.
    event Accrued(address indexed node, uint256 amount, uint256 accrued);
    /// @notice `amount` was minted for `node`; `accrued` still waits.
    event Collected(address indexed node, uint256 amount, uint256 accrued);

    /// @notice Thrown when a length in the schedule is 0.
    error BadSchedule();
    /// @notice Thrown when the token's minter is another contract: a wrong order of deployment.
    error NotMinter(address minter);
    /// @notice Thrown when anyone but the registry, the vocabulary or the quorums accrues.
    error OnlyKeeper(address caller);
    /// @notice Thrown when nothing has accrued, or the caps leave nothing now.
    error NothingToCollect();

    /// @notice The minted token.
    function token() external view returns (INeuroToken);
    /// @notice Holds claims; may accrue.
    function registry() external view returns (address);
    /// @notice Holds vocabulary proposals; may accrue.
    function vocabulary() external view returns (address);
    /// @notice Holds sessions of quorums; may accrue.
    function quorums() external view returns (address);
    /// @notice Timestamp at which epoch 0 began.
    function start() external view returns (uint256);
    /// @notice The caps and their lengths.
    function schedule() external view returns (Schedule memory);
    /// @notice Number of the running epoch, from 0.
    function currentEpoch() external view returns (uint256);
    /// @notice Most wei that `epoch` may mint.
    function epochCapOf(uint256 epoch) external view returns (uint256);
    /// @notice Wei minted in `epoch`.
    function mintedIn(uint256 epoch) external view returns (uint256);
    /// @notice Wei that `node` has earned and not collected.
    function accruedOf(address node) external view returns (uint256);
    /// @notice Wei that `node` could collect now.
    function collectable(address node) external view returns (uint256);

    /// @notice Adds `amount` to what `node` has earned. Registry, vocabulary and quorums only.
    function accrue(address node, uint256 amount) external;
    /// @notice Mints for the caller what it has earned, within the caps.
    function collect() external returns (uint256 amount);
}
