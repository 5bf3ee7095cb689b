// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { OneStep } from "../../src/libraries/OneStep.sol";
import { OpCode } from "../../src/libraries/OpCode.sol";

/// @title OneStepOps
/// @notice One element of one op over many cases, so that one call compares hundreds with another implementation.
contract OneStepOps {
    /// @notice What {OneStep.element} takes, the op by its descriptor.
    struct Case {
        bytes descriptor;
        uint256 index;
        bytes[] values;
    }

    /// @notice Bits of the element of each case.
    function elements(Case[] calldata cases) external pure returns (uint256[] memory bits) {
        bits = new uint256[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) {
            bits[i] = OneStep.element(OpCode.parse(cases[i].descriptor), cases[i].index, cases[i].values);
        }
    }

    /// @notice Where each operand reads term `term` of element `index`; 0 for a constant.
    function places(bytes calldata descriptor, uint256 index, uint256 term)
        external
        pure
        returns (uint256[] memory at)
    {
        OpCode.Op memory op = OpCode.parse(descriptor);
        at = new uint256[](op.operands.length);
        for (uint256 i = 0; i < at.length; ++i) {
            if (!op.operands[i].fixedValue) at[i] = OpCode.place(op, i, index) + OpCode.step(op, i, term);
        }
    }

    /// @notice See {OneStep.gathered}.
    function gathered(bytes calldata descriptor, uint256 index, uint256 row) external pure returns (uint256) {
        return OneStep.gathered(OpCode.parse(descriptor), index, row);
    }
}
