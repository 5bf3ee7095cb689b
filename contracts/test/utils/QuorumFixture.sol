// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { Programs } from "../../src/libraries/Programs.sol";
import { Rfc9162 } from "../../src/libraries/Rfc9162.sol";
import { Fixture } from "./Fixture.sol";
import { MerkleTree } from "./MerkleTree.sol";
import { ScriptedJudge } from "./ScriptedJudge.sol";

/// @title QuorumFixture
/// @notice A network whose program has a table of layers, and a quorum of three: alice leads with layers 0 and 1, bob holds
/// 2 to 4, carol 5. The judge rules as it is told.
abstract contract QuorumFixture is Fixture {
    uint256 internal constant ALICE = 0xA11CE;
    uint256 internal constant BOB = 0xB0B;
    uint256 internal constant CAROL = 0xCA401;
    uint32 internal constant STEPS = 4;
    uint64 internal constant HOUR = 1 hours;

    ScriptedJudge internal scripted;
    address internal immutable dave = vm.addr(0xDA7E);

    function setUp() public virtual override {
        scripted = new ScriptedJudge();
        super.setUp();
        _fund(dave);
    }

    function _config() internal view virtual override returns (Config memory c) {
        c = super._config();
        c.parameters.judge = address(scripted);
        c.parameters.programHash = this.hashSuite(_suite());
    }

    function hashSuite(Programs.Suite calldata suite) external view returns (bytes32) {
        return Programs.hash(suite);
    }

    // --- the table of layers: 70 ops of the step, 10 of each layer and 10 of none, and the update's behind them ---

    function _segments() internal pure returns (IQuorums.Segment[] memory table) {
        table = new IQuorums.Segment[](8);
        for (uint16 i = 0; i < 7; ++i) {
            table[i] = IQuorums.Segment(uint32(i) * 10, uint32(i) * 10 + 9, i);
        }
        table[7] = IQuorums.Segment(70, 79, 3);
    }

    function _tableLeaves() internal pure returns (bytes32[] memory leaves) {
        IQuorums.Segment[] memory table = _segments();
        leaves = new bytes32[](table.length);
        for (uint256 i = 0; i < table.length; ++i) {
            leaves[i] = Rfc9162.leafHash(abi.encodePacked(table[i].first, table[i].last, table[i].layer));
        }
    }

    function _suite() internal pure returns (Programs.Suite memory s) {
        (s.tensors, s.stepOps, s.updateOps, s.layerSegments) = (1, 70, 10, 8);
        s.layersRoot = MerkleTree.root(_tableLeaves());
    }

    // --- sessions ---

    function _members() internal view returns (IQuorums.Member[] memory m) {
        m = new IQuorums.Member[](3);
        m[0] = IQuorums.Member(alice, 0, 2);
        m[1] = IQuorums.Member(bob, 2, 3);
        m[2] = IQuorums.Member(carol, 5, 1);
    }

    function _keys() internal pure returns (uint256[] memory keys) {
        keys = new uint256[](3);
        (keys[0], keys[1], keys[2]) = (ALICE, BOB, CAROL);
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _signed(uint256[] memory keys, bytes32 digest) internal pure returns (bytes[] memory signatures) {
        signatures = new bytes[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            signatures[i] = _sign(keys[i], digest);
        }
    }

    function _consents(IQuorums.Member[] memory m, uint64 until) internal view returns (bytes[] memory) {
        return _signed(_keys(), quorums.hashConsent(alice, m, quorums.nonceOf(alice), until));
    }

    function _until() internal view returns (uint64) {
        return uint64(time) + HOUR;
    }

    function _register() internal returns (uint64 session) {
        IQuorums.Member[] memory m = _members();
        session = quorums.register(alice, m, _until(), _consents(m, _until()));
    }

    // --- claims ---

    function _postFor(uint64 session) internal returns (Claim memory c) {
        registry.openRound();
        c = _train(alice, STEPS);
        vm.prank(alice);
        registry.postFor(c, session);
    }

    function _finalise(Claim memory c) internal returns (bytes32 claimHash) {
        _afterWindow();
        registry.finalise(c);
        claimHash = registry.hashClaim(c);
    }

    /// @dev dave's challenge of the claim is ruled his, for op `op`.
    function _ruled(Claim memory c, uint32 op) internal returns (bytes32 claimHash) {
        _challenge(dave, c, 1);
        _answer(c, dave);
        scripted.blame(IWorkRegistry(address(registry)), c, dave, op);
        claimHash = registry.hashClaim(c);
    }

    function _blame(Claim memory c, uint256 row) internal {
        _blameWith(c, _members(), row);
    }

    function _blameWith(Claim memory c, IQuorums.Member[] memory m, uint256 row) internal {
        bytes32[] memory proof = MerkleTree.path(_tableLeaves(), row);
        Programs.Suite memory suite = _suite();
        bytes memory signature = _signedWork(c, m, _segments()[row].layer);
        quorums.blame(c, m, suite, _segments()[row], row, proof, signature);
    }

    /// @dev The trace of the challenged step, signed by the owner of `layer`; by bob where it has none.
    function _signedWork(Claim memory c, IQuorums.Member[] memory m, uint256 layer)
        internal
        view
        returns (bytes memory)
    {
        address owner = bob;
        for (uint256 i = 0; i < m.length; ++i) {
            if (layer >= m[i].firstLayer && layer < m[i].firstLayer + m[i].layerCount) owner = m[i].account;
        }
        bytes32 work = quorums.hashWork(registry.hashClaim(c), 1, TRACE);
        return _sign(owner == alice ? ALICE : owner == bob ? BOB : CAROL, work);
    }

    function _leave(uint64 session, address account, uint256 index) internal {
        IQuorums.Member[] memory m = _members();
        vm.prank(account);
        quorums.leave(session, m, index);
    }

    function _state(bytes32 claimHash) internal view returns (IQuorums.State) {
        return quorums.claimOf(claimHash).state;
    }

    function _assertLocks(uint256 a, uint256 b, uint256 c) internal view {
        vm.assertEq(_lockedOf(alice), a, "alice's lock");
        vm.assertEq(_lockedOf(bob), b, "bob's lock");
        vm.assertEq(_lockedOf(carol), c, "carol's lock");
    }

    function _wrongState(IQuorums.State state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IQuorums.WrongClaimState.selector, state);
    }
}
