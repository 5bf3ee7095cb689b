// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IJudge } from "../../src/interfaces/IJudge.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";

/// @notice Stands at the judge's seam: keeps what it was handed, and rules as it is told.
contract ScriptedJudge is IJudge {
    struct Game {
        bytes32 claimHash;
        address challenger;
        uint32 step;
        bytes32 before;
        bytes32 afterStep;
        bytes32 batch;
    }

    Game public game;

    function open(
        Claim calldata,
        bytes32 claimHash,
        address challenger,
        uint32 step,
        bytes32 before,
        bytes32 afterStep,
        bytes32 batch
    ) external {
        game = Game(claimHash, challenger, step, before, afterStep, batch);
    }

    function decide(IWorkRegistry registry, Claim calldata claim, address challenger, bool proverWon) external {
        registry.rule(claim, challenger, proverWon);
    }
}
