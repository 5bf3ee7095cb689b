// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute } from "../../src/interfaces/IJudge.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";

/// @notice Stands at the judge's seam: keeps what it was handed, and rules as it is told.
contract ScriptedJudge {
    Dispute internal _dispute;

    function open(Dispute calldata d) external {
        _dispute = d;
    }

    function dispute() external view returns (Dispute memory) {
        return _dispute;
    }

    function blame(IWorkRegistry registry, Claim calldata claim, address challenger, uint32 op) external {
        registry.rule(claim, challenger, false, op, _dispute.trace);
    }

    function decide(IWorkRegistry registry, Claim calldata claim, address challenger, bool proverWon) external {
        registry.rule(claim, challenger, proverWon, ClaimLib.NO_OP, _dispute.trace);
    }

    function move(IWorkRegistry registry, Claim calldata claim, address challenger, uint32 step) external {
        registry.repoint(claim, challenger, step);
    }
}
