// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { GovernorCountingSimple } from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import { GovernorPreventLateQuorum } from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import { IERC6372 } from "@openzeppelin/contracts/interfaces/IERC6372.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Time } from "@openzeppelin/contracts/utils/types/Time.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { IVocabulary } from "./interfaces/IVocabulary.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title StakeGovernor
/// @notice A Governor in which active stake votes, by timestamp, and whose proposals only its own verbs make.
/// @dev Nothing can be proposed but what a heir's verb builds, so no vote can change a parameter, relay a call or move a
/// token. It takes no ether.
abstract contract StakeGovernor is GovernorCountingSimple, GovernorPreventLateQuorum {
    using Math for uint256;

    uint256 internal constant MAX_TEXT = 256;

    /// @notice Whose accounts vote.
    IStaking public immutable staking;
    /// @notice What is voted on.
    IVocabulary public immutable vocabulary;

    uint48 private immutable DELAY;
    uint32 private immutable PERIOD;

    /// @notice Thrown when a proposal is not made by this governor's own verb.
    error OnlyOwnVerbs();
    /// @notice Thrown when a time of the constructor is 0.
    error BadTimes();
    /// @notice Thrown when the vocabulary names another governor: a wrong order of deployment.
    error NotGovernor(address governor);

    /// @param delay Seconds from proposal to vote.
    /// @param period Seconds of the vote.
    /// @param extension Least seconds left to vote once the quorum is reached.
    constructor(IVocabulary vocabulary_, uint48 delay, uint32 period, uint48 extension)
        GovernorPreventLateQuorum(extension)
    {
        if (period == 0) revert BadTimes();
        (staking, vocabulary) = (vocabulary_.staking(), vocabulary_);
        (DELAY, PERIOD) = (delay, period);
    }

    /// @notice Takes no ether.
    receive() external payable override {
        revert GovernorDisabledDeposit();
    }

    /// @inheritdoc IGovernor
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory)
        public
        pure
        override
        returns (uint256)
    {
        revert OnlyOwnVerbs();
    }

    /// @inheritdoc Governor
    function relay(address, uint256, bytes calldata) public payable override {
        revert OnlyOwnVerbs();
    }

    /// @inheritdoc IERC6372
    /// @dev Staking's clock, without asking it.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    // forge-lint: disable-next-line(mixed-case-function)
    /// @inheritdoc IERC6372
    function CLOCK_MODE() public view override returns (string memory) {
        return staking.CLOCK_MODE();
    }

    // forge-lint: disable-next-line(mixed-case-function)
    /// @inheritdoc IGovernor
    function COUNTING_MODE() public pure override(GovernorCountingSimple, IGovernor) returns (string memory) {
        return "support=bravo&quorum=against,for,abstain";
    }

    /// @inheritdoc IGovernor
    function votingDelay() public view override returns (uint256) {
        return DELAY;
    }

    /// @inheritdoc IGovernor
    function votingPeriod() public view override returns (uint256) {
        return PERIOD;
    }

    /// @inheritdoc GovernorPreventLateQuorum
    function proposalDeadline(uint256 id) public view override(Governor, GovernorPreventLateQuorum) returns (uint256) {
        return super.proposalDeadline(id);
    }

    /// @inheritdoc IGovernor
    function quorum(uint256 timepoint) public view override returns (uint256) {
        return staking.getPastTotalSupply(timepoint).mulDiv(Rules.QUORUM_BPS, Rules.BPS, Math.Rounding.Ceil);
    }

    function _tallyUpdated(uint256 id) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(id);
    }

    /// @dev The extension is checked before the period is known, and is fixed with it: nothing here can set it again.
    function _maxLateQuorumVoteExtension() internal pure override returns (uint256) {
        return type(uint32).max;
    }

    /// @dev All votes cast count towards the quorum, also those against.
    function _quorumReached(uint256 id)
        internal
        view
        virtual
        override(Governor, GovernorCountingSimple)
        returns (bool)
    {
        (uint256 against, uint256 inFavour, uint256 abstain) = proposalVotes(id);
        return against + inFavour + abstain >= quorum(proposalSnapshot(id));
    }

    function _voteSucceeded(uint256 id)
        internal
        view
        virtual
        override(Governor, GovernorCountingSimple)
        returns (bool)
    {
        (uint256 against, uint256 inFavour,) = proposalVotes(id);
        return inFavour != 0 && inFavour * Rules.BPS >= Rules.APPROVAL_BPS * (inFavour + against);
    }

    function _getVotes(address account, uint256 timepoint, bytes memory) internal view override returns (uint256) {
        return staking.getPastVotes(account, timepoint);
    }

    /// @dev One call of the vocabulary, as a Governor's lists have it.
    function _action(bytes memory call)
        internal
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calls)
    {
        (targets, values, calls) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], calls[0]) = (address(vocabulary), call);
    }
}
