// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice What a quorum pays, whole transactions, written to contracts/snapshots/quorums.json.
contract QuorumGasTest is QuorumFixture {
    function test_gas_quorums() public {
        uint64 session = _register();
        vm.snapshotGasLastCall("quorums", "register_3");
        Claim memory c = _postFor(session);
        vm.snapshotGasLastCall("quorums", "post_for_first");
        bytes32 hash = _finalise(c);
        quorums.pay(hash, _members());
        uint256 paid = vm.snapshotGasLastCall("quorums", "pay_3");
        _leave(session, bob, 1);
        uint256 leave = vm.snapshotGasLastCall("quorums", "leave");
        vm.assertLe(paid, 210_000, "pay");
        vm.assertLe(leave, 60_000, "leave");
    }

    function test_gas_blame() public {
        Claim memory c = _postFor(_register());
        _ruled(c, 45);
        _blame(c, 4);
        vm.assertLe(vm.snapshotGasLastCall("quorums", "blame"), 200_000, "blame");
    }

    function test_gas_of_sixteen() public {
        Config memory k = _config();
        k.parameters.layers = 16;
        _install(k);
        IQuorums.Member[] memory m = new IQuorums.Member[](16);
        uint256[] memory keys = new uint256[](16);
        for (uint256 i = 0; i < 16; ++i) {
            keys[i] = 1000 + i;
            m[i] = IQuorums.Member(vm.addr(keys[i]), uint16(i), 1);
            _fund(m[i].account);
        }
        address leader = m[0].account;
        bytes[] memory s = _signed(keys, quorums.hashConsent(leader, m, 0, _until()));
        quorums.register(leader, m, _until(), s);
        vm.assertLe(vm.snapshotGasLastCall("quorums", "register_16"), 1_200_000, "register");
        registry.openRound();
        Claim memory c = _train(leader, STEPS);
        c.layerCount = 16;
        vm.prank(leader);
        registry.postFor(c, 1);
        _afterWindow();
        registry.finalise(c);
        vm.snapshotGasLastCall("quorums", "finalise");
        quorums.pay(registry.hashClaim(c), m);
        vm.assertLe(vm.snapshotGasLastCall("quorums", "pay_16"), 1_200_000, "pay");
    }
}
