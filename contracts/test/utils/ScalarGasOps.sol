// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IntegerDot } from "../../src/libraries/IntegerDot.sol";
import { SoftFloat } from "../../src/libraries/SoftFloat.sol";
import { SoftFloatConvert } from "../../src/libraries/SoftFloatConvert.sol";
import { SoftFloatOrder } from "../../src/libraries/SoftFloatOrder.sol";

/// @notice One op a contract, all called alike, so that the difference of two calls is the difference of their ops.
abstract contract ScalarOp {
    function run(uint32 a, uint32 b) external pure virtual returns (uint256);
}

/// @notice The call without an op.
contract NoOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return a;
    }
}

contract AddOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloat.add(a, b);
    }
}

contract SubOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloat.sub(a, b);
    }
}

contract MulOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloat.mul(a, b);
    }
}

contract DivOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloat.div(a, b);
    }
}

contract SqrtOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return SoftFloat.sqrt(a);
    }
}

contract RoundEvenOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return SoftFloatConvert.roundEven(a);
    }
}

contract FloorOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return SoftFloatConvert.floor(a);
    }
}

contract ToInt32Op is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return uint256(int256(SoftFloatConvert.toInt32(a)));
    }
}

contract FromIntOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return SoftFloatConvert.fromInt(int32(a));
    }
}

contract LtOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloatOrder.lt(a, b) ? 1 : 0;
    }
}

contract EqOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloatOrder.eq(a, b) ? 1 : 0;
    }
}

contract MaxOp is ScalarOp {
    function run(uint32 a, uint32 b) external pure override returns (uint256) {
        return SoftFloatOrder.max(a, b);
    }
}

contract AbsOp is ScalarOp {
    function run(uint32 a, uint32) external pure override returns (uint256) {
        return SoftFloatOrder.abs(a);
    }
}

/// @notice A dot product a transaction; the event makes it one that forge isolates and prices with its calldata.
contract DotOp {
    event Total(int256 total);

    function run(bytes calldata a, bytes calldata b) external virtual {
        emit Total(IntegerDot.dot(a, b));
    }
}

/// @notice The same transaction without the product.
contract NoDot is DotOp {
    function run(bytes calldata a, bytes calldata) external override {
        emit Total(int256(a.length));
    }
}
