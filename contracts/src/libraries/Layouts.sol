// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Dispute, IJudge } from "../interfaces/IJudge.sol";
import { IWorkRegistry } from "../interfaces/IWorkRegistry.sol";
import { ClaimLib } from "./ClaimLib.sol";
import { Programs } from "./Programs.sol";
import { Proofs } from "./Proofs.sol";

/// @title Layouts
/// @notice Which program a dispute is about.
library Layouts {
    /// @notice The program of the step in question, which is the one that the claim names.
    function resolve(IWorkRegistry registry, Dispute calldata d, IJudge.Program calldata program)
        internal
        view
        returns (Programs.Layout memory)
    {
        Programs.Suite calldata suite = program.suite;
        if (Programs.hash(suite) != d.claim.programHash) revert IJudge.BadPlace();
        if (d.claim.kind == ClaimLib.ANSWER) return Programs.answer(suite);
        if (d.claim.kind == ClaimLib.OUTER) {
            uint256 claims = registry.roundOf(d.claim.round).finals;
            bytes32 leaf = sha256(abi.encodePacked(bytes1(0), program.outerOps, program.outerRoot));
            Proofs.requireIn(suite.outerRoot, leaf, claims - 1, suite.outerCount, program.outerProof, 100);
            return Programs.outer(suite, program.outerRoot, program.outerOps, claims);
        }
        return d.step == d.claim.steps ? Programs.update(suite) : Programs.step(suite);
    }
}
