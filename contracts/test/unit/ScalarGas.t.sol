// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import {
    AbsOp,
    AddOp,
    DivOp,
    DotOp,
    EqOp,
    FloorOp,
    FromIntOp,
    LtOp,
    MaxOp,
    MulOp,
    NoDot,
    NoOp,
    RoundEvenOp,
    ScalarOp,
    SqrtOp,
    SubOp,
    ToInt32Op
} from "../utils/ScalarGasOps.sol";

/// @notice Gas of the scalar arithmetic, written to contracts/snapshots/scalar.json: the mean over ordinary numbers, and the
/// most over pairs that cross every branch.
contract ScalarGasTest {
    uint256 internal constant ORDINARY = 128;
    ScalarOp internal nothing;
    DotOp internal dot;
    NoDot internal noDot;
    uint32[] internal edges;

    function setUp() public {
        nothing = new NoOp();
        dot = new DotOp();
        noDot = new NoDot();
        edges = [0, 1, 0x3fffff, 0x7fffff, 0x800000, 0x33800001, 0x3f000000, 0x3f7fffff, 0x3f800000, 0x3fc00001];
        uint32[9] memory more = [
            0x40000000, 0x41ffffff, 0x4b000000, 0x4b7fffff, 0x4effffff, 0x4f000000, 0x7f7fffff, 0x7f800000, 0x7fc00000
        ];
        for (uint256 i = 0; i < more.length; ++i) {
            edges.push(more[i]);
        }
    }

    /// @dev In assembly, so that nothing but the call stands between the two readings.
    function _call(ScalarOp op, uint32 a, uint32 b) internal view returns (uint256 used) {
        bytes memory data = abi.encodeCall(ScalarOp.run, (a, b));
        bool ok;
        assembly ("memory-safe") {
            used := gas()
            ok := staticcall(gas(), op, add(data, 32), mload(data), 0x00, 32)
            used := sub(used, gas())
        }
        vm.assertTrue(ok, "the op reverted");
    }

    /// @dev An ordinary number: magnitude from 2^-8 to 2^8, any sign and fraction.
    function _ordinary(uint256 i) internal pure returns (uint32) {
        uint256 random = uint256(keccak256(abi.encode(i)));
        return uint32((random & 0x807fffff) | ((119 + ((random >> 64) & 15)) << 23));
    }

    function _measure(string memory name, ScalarOp op) internal {
        uint256 mean;
        uint256 most;
        // The first call of an address costs more.
        _call(nothing, 1, 2);
        _call(op, 1, 2);
        uint256 base = _call(nothing, 1, 2);
        for (uint256 i = 0; i < ORDINARY; ++i) {
            mean += _call(op, _ordinary(2 * i), _ordinary(2 * i + 1)) - base;
        }
        mean /= ORDINARY;
        for (uint256 i = 0; i < 2 * edges.length; ++i) {
            for (uint256 j = 0; j < 2 * edges.length; ++j) {
                uint32 a = edges[i / 2] | (i & 1 == 0 ? 0 : 0x80000000);
                uint32 b = edges[j / 2] | (j & 1 == 0 ? 0 : 0x80000000);
                uint256 gas = _call(op, a, b) - base;
                if (gas > most) most = gas;
            }
        }
        vm.snapshotValue("scalar", string.concat(name, "_mean"), mean);
        vm.snapshotValue("scalar", string.concat(name, "_most"), most);
        vm.assertLe(most, 1000, name);
    }

    function test_gas_of_float_ops() public {
        _measure("add", new AddOp());
        _measure("sub", new SubOp());
        _measure("mul", new MulOp());
        _measure("div", new DivOp());
        _measure("sqrt", new SqrtOp());
        _measure("round_even", new RoundEvenOp());
        _measure("floor", new FloorOp());
        _measure("to_int32", new ToInt32Op());
        _measure("from_int", new FromIntOp());
        _measure("lt", new LtOp());
        _measure("eq", new EqOp());
        _measure("max", new MaxOp());
        _measure("abs", new AbsOp());
    }

    /// @dev A row of `terms` random 12-bit integers, int16 little-endian.
    function _row(uint256 terms, uint256 seed) internal pure returns (bytes memory row) {
        row = new bytes(2 * terms);
        for (uint256 k = 0; k < terms; ++k) {
            uint16 term = uint16(int16(int256(uint256(keccak256(abi.encode(seed, k))) % 4095) - 2047));
            row[2 * k] = bytes1(uint8(term));
            row[2 * k + 1] = bytes1(uint8(term >> 8));
        }
    }

    /// @dev The product is the difference to the same transaction without one; both pay for the same calldata.
    function _measureDot(string memory name, uint256 terms) internal returns (uint256 transaction, uint256 product) {
        (bytes memory a, bytes memory b) = (_row(terms, 1), _row(terms, 2));
        dot.run(a, b);
        transaction = vm.snapshotGasLastCall("scalar", string.concat(name, "_transaction"));
        noDot.run(a, b);
        product = transaction - vm.snapshotGasLastCall("scalar", string.concat(name, "_calldata"));
        vm.snapshotValue("scalar", name, product);
    }

    function test_gas_of_dot_products() public {
        _measureDot("dot_32", 32);
        _measureDot("dot_128", 128);
        (uint256 transaction, uint256 product) = _measureDot("dot_512", 512);
        vm.assertLe(transaction, 73_600, "a transaction of one whole row");
        vm.assertLe(product, 15_000, "a whole row");
    }
}
