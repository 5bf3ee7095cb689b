// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { ClaimState, NodeSlot, NodeSlotLib } from "../../src/libraries/NodeSlot.sol";
import { Libraries } from "../utils/Libraries.sol";
import { MerkleTree } from "../utils/MerkleTree.sol";

contract LibrariesTest {
    Libraries internal libs;
    bytes32[] internal empty;

    function setUp() public {
        libs = new Libraries();
    }

    // --- RFC 9162 ---

    function _leaves(uint256 n, uint256 seed) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            leaves[i] = libs.leafHash(abi.encode(seed, i));
        }
    }

    /// @dev Every index of every size 1 to 130 would be 8,515 proofs; each size checks its ends, its split and one more.
    function test_inclusion_of_every_size_to_130() public view {
        for (uint256 n = 1; n <= 130; ++n) {
            bytes32[] memory leaves = _leaves(n, n);
            bytes32 root = MerkleTree.root(leaves);
            uint256 middle = n == 1 ? 0 : MerkleTree.split(n);
            uint256[5] memory indices = [0, n - 1, middle, middle == 0 ? 0 : middle - 1, (n * 37) % n];
            for (uint256 k = 0; k < 5; ++k) {
                _checkIndex(leaves, root, indices[k]);
            }
        }
    }

    function test_inclusion_of_every_index_to_33() public view {
        for (uint256 n = 1; n <= 33; ++n) {
            bytes32[] memory leaves = _leaves(n, n);
            bytes32 root = MerkleTree.root(leaves);
            for (uint256 i = 0; i < n; ++i) {
                _checkIndex(leaves, root, i);
            }
        }
    }

    function _checkIndex(bytes32[] memory leaves, bytes32 root, uint256 i) internal view {
        uint256 n = leaves.length;
        bytes32[] memory proof = MerkleTree.path(leaves, i);
        vm.assertTrue(libs.verifyInclusion(root, leaves[i], i, n, proof), "honest proof");
        vm.assertFalse(libs.verifyInclusion(root, ~leaves[i], i, n, proof));
        vm.assertFalse(libs.verifyInclusion(~root, leaves[i], i, n, proof));
        vm.assertFalse(libs.verifyInclusion(root, leaves[i], n, n, proof));
        if (n > 1) vm.assertFalse(libs.verifyInclusion(root, leaves[i], (i + 1) % n, n, proof));
    }

    function test_inclusion_of_one_leaf_needs_an_empty_proof() public {
        bytes32 leaf = libs.leafHash("only");
        vm.assertTrue(libs.verifyInclusion(leaf, leaf, 0, 1, empty), "a leaf is the root of its tree");
        empty.push(bytes32(uint256(1)));
        vm.assertFalse(libs.verifyInclusion(leaf, leaf, 0, 1, empty));
    }

    function test_no_leaf_in_an_empty_tree() public view {
        vm.assertFalse(libs.verifyInclusion(sha256(""), sha256(""), 0, 0, empty));
    }

    function test_known_answers() public view {
        // The leaf hash of the empty string and the root over two of RFC 6962's test inputs.
        vm.assertEq(libs.leafHash(""), 0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d);
        bytes32[] memory leaves = new bytes32[](2);
        leaves[0] = libs.leafHash("");
        leaves[1] = libs.leafHash(hex"00");
        vm.assertEq(MerkleTree.root(leaves), 0xfac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125);
    }

    function test_trace_leaf_is_72_bytes_big_endian() public view {
        bytes32 a = keccak256("a");
        bytes32 b = keccak256("b");
        bytes32 expected = sha256(bytes.concat(hex"00", a, b, hex"3f800000", hex"00000102"));
        vm.assertEq(libs.traceLeaf(a, b, 0x3f800000, 258), expected);
    }

    function testFuzz_inclusion(uint256 size, uint256 index, uint256 seed, uint256 flip) public view {
        uint256 n = size % 200 + 1;
        uint256 i = index % n;
        bytes32[] memory leaves = _leaves(n, seed);
        bytes32 root = MerkleTree.root(leaves);
        bytes32[] memory proof = MerkleTree.path(leaves, i);
        vm.assertTrue(libs.verifyInclusion(root, leaves[i], i, n, proof), "honest proof");
        if (proof.length == 0) return;
        proof[flip % proof.length] ^= bytes32(uint256(1) << (flip & 0xff));
        vm.assertFalse(libs.verifyInclusion(root, leaves[i], i, n, proof));
    }

    function testFuzz_proof_of_another_length_fails(uint256 size, uint256 index, bytes32 extra) public view {
        uint256 n = size % 100 + 1;
        uint256 i = index % n;
        bytes32[] memory leaves = _leaves(n, n);
        bytes32[] memory proof = MerkleTree.path(leaves, i);
        bytes32[] memory longer = new bytes32[](proof.length + 1);
        for (uint256 k = 0; k < proof.length; ++k) {
            longer[k] = proof[k];
        }
        longer[proof.length] = extra;
        bytes32 root = MerkleTree.root(leaves);
        vm.assertFalse(libs.verifyInclusion(root, leaves[i], i, n, longer));
        if (proof.length == 0) return;
        bytes32[] memory shorter = new bytes32[](proof.length - 1);
        for (uint256 k = 0; k < shorter.length; ++k) {
            shorter[k] = proof[k];
        }
        vm.assertFalse(libs.verifyInclusion(root, leaves[i], i, n, shorter));
    }

    // --- rewards ---

    function test_reward_of_plain_work() public view {
        // 100 batches, 6 layers, 0.0005 each, 1.6 for the roles.
        vm.assertEq(libs.claimReward(100, 6, 0, 0, 0, 0), 0.48e18);
    }

    function test_reward_multipliers() public view {
        vm.assertEq(libs.stakeMultiplier(0), 1e18);
        vm.assertEq(libs.stakeMultiplier(1000e18), 1.1e18);
        vm.assertEq(libs.stakeMultiplier(3000e18), 1.2e18);
        vm.assertEq(libs.stakeMultiplier(31_000e18), 1.5e18);
        vm.assertEq(libs.stakeMultiplier(type(uint128).max), 1.5e18);
        vm.assertEq(libs.claimReward(100, 6, 1000e18, 0, 0, 0), 0.528e18);
        vm.assertEq(libs.claimReward(100, 6, 0, 50, 0, 0), 0.504e18);
        vm.assertEq(libs.claimReward(100, 6, 0, 1000, 0, 0), 0.528e18);
        vm.assertEq(libs.claimReward(100, 6, 0, 0, 1e18, 0), 0.72e18);
    }

    function test_reward_is_capped() public view {
        vm.assertEq(
            libs.claimReward(type(uint32).max, type(uint16).max, type(uint128).max, type(uint32).max, 1e18, 0), 100e18
        );
        vm.assertEq(libs.claimReward(0, 6, 1000e18, 100, 1e18, 0), 0);
    }

    function test_reward_of_late_work_by_its_age() public view {
        // 100 batches, 6 layers, 0.0003 each, 1.6 for the roles.
        uint256[4] memory rewards = [uint256(0.288e18), 0.2016e18, 0.144e18, 0.0864e18];
        uint256[5] memory limits = [uint256(1), 1 hours, 1 days, 1 weeks, type(uint64).max];
        for (uint256 i = 0; i < rewards.length; ++i) {
            vm.assertEq(libs.claimReward(100, 6, 0, 0, 0, limits[i]), rewards[i], "from");
            vm.assertEq(libs.claimReward(100, 6, 0, 0, 0, limits[i + 1] - 1), rewards[i], "until");
        }
        // The multipliers are those of work on time.
        vm.assertEq(libs.claimReward(100, 6, 1000e18, 50, 1e18, 1), 0.288e18 * 1.1 * 1.05 * 1.5);
        vm.assertEq(libs.claimReward(type(uint32).max, 999, type(uint128).max, 100, 1e18, 1 weeks), 100e18, "cap");
    }

    function testFuzz_older_work_earns_and_weighs_no_more(uint32 steps, uint64 age, uint64 more) public view {
        uint256 older = uint256(age) + more;
        vm.assertLe(libs.claimReward(steps, 6, 0, 0, 0, older), libs.claimReward(steps, 6, 0, 0, 0, age), "reward");
        vm.assertLe(libs.updateWeight(steps, older), libs.updateWeight(steps, age), "weight");
        vm.assertTrue(libs.updateWeight(steps, older) >= 1000, "the least weight");
    }

    function test_weight_of_an_update_by_its_age() public view {
        uint256[4] memory weights = [uint256(100_000), 90_000, 70_000, 30_000];
        uint256[5] memory limits = [uint256(0), 1 minutes, 1 hours, 1 days, type(uint64).max];
        for (uint256 i = 0; i < weights.length; ++i) {
            vm.assertEq(libs.updateWeight(100, limits[i]), weights[i], "from");
            vm.assertEq(libs.updateWeight(100, limits[i + 1] - 1), weights[i], "until");
        }
        vm.assertEq(libs.updateWeight(0, 1 days), 1000);
        vm.assertEq(libs.updateWeight(2, 0), 14_142);
        vm.assertEq(libs.updateWeight(2, 1 hours), 9899); // 14,142 * 0.7 rounded down
    }

    function test_log2_of_powers_and_of_three() public view {
        for (uint256 k = 0; k < 64; ++k) {
            vm.assertEq(libs.log2Q64(1 << (64 + k)), k << 64);
        }
        // log2(3) = 1.58496250072115618145..., rounded down to 64 fractional bits.
        vm.assertEq(libs.log2Q64(3 << 64), 29_237_397_617_229_858_719);
    }

    function testFuzz_reward_grows(uint32 batches, uint128 stake, uint32 finals, uint64 scarcity) public view {
        uint256 s = scarcity % 1e18;
        uint256 reward = libs.claimReward(batches, 6, stake, finals, s, 0);
        vm.assertLe(reward, 100e18, "cap");
        vm.assertLe(reward, libs.claimReward(uint256(batches) + 1, 6, stake, finals, s, 0), "batches");
        vm.assertLe(reward, libs.claimReward(batches, 6, uint256(stake) + 1e18, finals, s, 0), "stake");
        vm.assertLe(reward, libs.claimReward(batches, 6, stake, uint256(finals) + 1, s, 0), "finals");
    }

    // --- claim and slot ---

    function test_struct_hash_is_eip712() public view {
        Claim memory c = Claim({
            kind: 1,
            round: 2,
            node: address(3),
            programHash: bytes32(uint256(4)),
            dataRoot: bytes32(uint256(5)),
            startRoot: bytes32(uint256(6)),
            endRoot: bytes32(uint256(7)),
            traceRoot: bytes32(uint256(8)),
            updateRoot: bytes32(uint256(9)),
            steps: 10,
            tokens: 11,
            firstLayer: 12,
            layerCount: 13,
            base: 14
        });
        bytes32 typehash = keccak256(
            "Claim(uint8 kind,uint64 round,address node,bytes32 programHash,bytes32 dataRoot,bytes32 startRoot,bytes32 endRoot,bytes32 traceRoot,bytes32 updateRoot,uint32 steps,uint64 tokens,uint16 firstLayer,uint16 layerCount,uint64 base)"
        );
        bytes memory words = abi.encodePacked(typehash);
        for (uint256 i = 1; i <= 14; ++i) {
            words = abi.encodePacked(words, i);
        }
        vm.assertEq(libs.structHash(c), keccak256(words));
    }

    function testFuzz_node_slot(bytes32 hash, uint8 opens) public pure {
        NodeSlot slot = NodeSlotLib.pack(hash, ClaimState.Posted);
        uint256 n = opens;
        for (uint256 i = 0; i < n; ++i) {
            slot = slot.opened();
        }
        vm.assertEq(slot.open(), n);
        vm.assertEq(uint256(slot.state()), uint256(ClaimState.Posted));
        vm.assertEq(slot.prefix(), hash & ~bytes32(uint256(0xffff)));
        vm.assertTrue(slot.holds(hash));
        vm.assertFalse(slot.holds(hash ^ bytes32(uint256(0x10000))));
        for (uint256 i = 0; i < n; ++i) {
            slot = slot.closed();
        }
        vm.assertEq(slot.open(), 0);
    }
}
