// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { GovernorCountingSimple } from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import { GovernorVotes } from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import { IVotes } from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @notice All that a version of the vocabulary is, stored word by word, and nothing else: no check, no bond, no reward.
contract BareVersions {
    struct Version {
        bytes32 root;
        bytes32 programHash;
        bytes32 growHash;
        bytes32 shrinkHash;
        bytes32 dataRoot;
        uint16 parent;
        uint16 size;
        uint48 activatedAt;
        bool contested;
        address proposer;
    }

    Version private _version;

    function store(Version calldata version) external {
        _version = version;
    }
}

/// @notice OpenZeppelin's Governor as it comes, over the same votes: the reference of the gas figures.
contract BareGovernor is GovernorCountingSimple, GovernorVotes {
    constructor(IVotes votes) Governor("bare") GovernorVotes(votes) { }

    /// @inheritdoc IGovernor
    function votingDelay() public pure override returns (uint256) {
        return 1;
    }

    /// @inheritdoc IGovernor
    function votingPeriod() public pure override returns (uint256) {
        return 1 hours;
    }

    /// @inheritdoc IGovernor
    function quorum(uint256) public pure override returns (uint256) {
        return 1;
    }
}
