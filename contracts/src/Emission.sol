// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { INeuroToken } from "./interfaces/INeuroToken.sol";

/// @title Emission
/// @notice Mints what nodes have earned, within the caps. See {IEmission}.
contract Emission is IEmission {
    using SafeCast for uint256;

    /// @dev One slot a node. 96 bits of wei hold 79 billion NEURO.
    struct Earnings {
        uint96 accrued;
        uint96 mintedToday;
        uint64 day;
    }

    /// @inheritdoc IEmission
    INeuroToken public immutable token;
    /// @inheritdoc IEmission
    address public immutable registry;
    /// @inheritdoc IEmission
    address public immutable vocabulary;
    /// @inheritdoc IEmission
    address public immutable quorums;
    /// @inheritdoc IEmission
    uint256 public immutable start;
    /// @inheritdoc IEmission
    mapping(uint256 epoch => uint256) public mintedIn;

    uint64 private immutable EPOCH_LENGTH;
    uint64 private immutable DAY_LENGTH;
    uint64 private immutable HALVING_EPOCHS;
    uint256 private immutable EPOCH_CAP;
    uint256 private immutable NODE_DAY_CAP;

    mapping(address node => Earnings) private _earnings;

    /// @param token_ The token, whose minter this contract must be.
    /// @param registry_ The work registry, usually at an address computed beforehand.
    /// @param vocabulary_ Pays proposers of activated versions, at an address computed beforehand; 0 for none.
    /// @param quorums_ Shares rewards of quorums' claims out, likewise.
    constructor(
        INeuroToken token_,
        address registry_,
        address vocabulary_,
        address quorums_,
        Schedule memory schedule_
    ) {
        if (schedule_.epochLength == 0 || schedule_.dayLength == 0 || schedule_.halvingEpochs == 0) {
            revert BadSchedule();
        }
        if (token_.minter() != address(this)) revert NotMinter(token_.minter());
        token = token_;
        registry = registry_;
        vocabulary = vocabulary_;
        quorums = quorums_;
        start = block.timestamp;
        EPOCH_LENGTH = schedule_.epochLength;
        DAY_LENGTH = schedule_.dayLength;
        HALVING_EPOCHS = schedule_.halvingEpochs;
        EPOCH_CAP = schedule_.epochCap;
        NODE_DAY_CAP = schedule_.nodeDayCap;
    }

    /// @inheritdoc IEmission
    function accrue(address node, uint256 amount) external {
        bool keeper = msg.sender == registry || msg.sender == vocabulary || msg.sender == quorums;
        if (!keeper) revert OnlyKeeper(msg.sender);
        uint256 before = _earnings[node].accrued;
        uint96 accrued = (before + amount).toUint96();
        _earnings[node].accrued = accrued;
        emit Accrued(node, amount, accrued);
    }

    /// @inheritdoc IEmission
    function collect() external returns (uint256 amount) {
        Earnings memory earnings = _today(msg.sender);
        amount = _collectable(earnings);
        if (amount == 0) revert NothingToCollect();
        earnings.accrued -= amount.toUint96();
        earnings.mintedToday += amount.toUint96();
        _earnings[msg.sender] = earnings;
        mintedIn[currentEpoch()] += amount;
        emit Collected(msg.sender, amount, earnings.accrued);
        token.mint(msg.sender, amount);
    }

    /// @inheritdoc IEmission
    function accruedOf(address node) external view returns (uint256) {
        return _earnings[node].accrued;
    }

    /// @inheritdoc IEmission
    function collectable(address node) external view returns (uint256) {
        return _collectable(_today(node));
    }

    /// @inheritdoc IEmission
    function schedule() external view returns (Schedule memory) {
        return Schedule(EPOCH_LENGTH, DAY_LENGTH, HALVING_EPOCHS, EPOCH_CAP, NODE_DAY_CAP);
    }

    /// @inheritdoc IEmission
    function currentEpoch() public view returns (uint256) {
        return (block.timestamp - start) / EPOCH_LENGTH;
    }

    /// @inheritdoc IEmission
    function epochCapOf(uint256 epoch) public view returns (uint256) {
        return EPOCH_CAP >> (epoch / HALVING_EPOCHS);
    }

    /// @dev A node's earnings with the day's count at 0 if its day is over.
    function _today(address node) private view returns (Earnings memory earnings) {
        earnings = _earnings[node];
        uint64 day = (block.timestamp / DAY_LENGTH).toUint64();
        if (earnings.day != day) {
            earnings.day = day;
            earnings.mintedToday = 0;
        }
    }

    function _collectable(Earnings memory earnings) private view returns (uint256 amount) {
        uint256 epoch = currentEpoch();
        amount = Math.min(earnings.accrued, NODE_DAY_CAP - earnings.mintedToday);
        amount = Math.min(amount, epochCapOf(epoch) - mintedIn[epoch]);
        amount = Math.min(amount, token.cap() - token.totalSupply());
    }
}
