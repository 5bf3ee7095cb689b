// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Strings } from "@openzeppelin/contracts/utils/Strings.sol";
import { StakeGovernor } from "./StakeGovernor.sol";
import { IEmergencyGovernor } from "./interfaces/IEmergencyGovernor.sol";
import { IVocabulary } from "./interfaces/IVocabulary.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title EmergencyGovernor
/// @notice Votes on taking a version back. See {IEmergencyGovernor}.
contract EmergencyGovernor is IEmergencyGovernor, StakeGovernor {
    using Math for uint256;

    /// @param vote Seconds of the vote.
    constructor(IVocabulary vocabulary_, uint32 vote)
        Governor("ponw emergency")
        StakeGovernor(vocabulary_, 0, vote, 0)
    {
        if (vocabulary_.emergency() != address(this)) {
            revert NotGovernor(vocabulary_.emergency());
        }
    }

    /// @inheritdoc IEmergencyGovernor
    function proposeRollback(uint16 version, string calldata reason) external returns (uint256 id) {
        if (bytes(reason).length > MAX_TEXT) revert ReasonTooLong(bytes(reason).length);
        uint256 needed = proposalThreshold();
        uint256 votes = getVotes(msg.sender, clock() - 1);
        if (votes < needed) revert GovernorInsufficientProposerVotes(msg.sender, votes, needed);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _rollback(version);
        id = _propose(targets, values, calls, _description(version), msg.sender);
        emit RollbackProposed(id, version, msg.sender, reason);
        vocabulary.contest(version);
    }

    /// @inheritdoc IEmergencyGovernor
    function executeRollback(uint16 version) external returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _rollback(version);
        return execute(targets, values, calls, keccak256(bytes(_description(version))));
    }

    /// @inheritdoc IEmergencyGovernor
    function idOf(uint16 version) external view returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = _rollback(version);
        return hashProposal(targets, values, calls, keccak256(bytes(_description(version))));
    }

    /// @inheritdoc IGovernor
    function proposalThreshold() public view override returns (uint256) {
        uint256 total = staking.getPastTotalSupply(clock() - 1);
        return total.mulDiv(Rules.EMERGENCY_BPS, Rules.BPS, Math.Rounding.Ceil);
    }

    /// @dev An emergency vote cannot be cancelled: it is opened once a version.
    function _validateCancel(uint256, address) internal pure override returns (bool) {
        return false;
    }

    function _rollback(uint16 version) private view returns (address[] memory, uint256[] memory, bytes[] memory) {
        return _action(abi.encodeCall(IVocabulary.rollback, (version)));
    }

    function _description(uint16 version) private pure returns (string memory) {
        return string.concat("Take back version ", Strings.toString(version));
    }
}
