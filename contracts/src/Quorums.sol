// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { IQuorums } from "./interfaces/IQuorums.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "./libraries/ClaimLib.sol";
import { Members } from "./libraries/Members.sol";
import { Programs } from "./libraries/Programs.sol";
import { Rewards } from "./libraries/Rewards.sol";

/// @title Quorums
/// @notice Sessions, their members' bonds and shares. See {IQuorums}.
/// @dev Calls out go to the fixed staking, emission and registry, after every change of state of this contract. Loops run
/// over at most 16 members.
contract Quorums is IQuorums, EIP712 {
    using SafeCast for uint256;

    /// @notice Longest session, in seconds.
    uint64 public constant SESSION_MAX = 14_400;

    bytes32 private constant CONSENT_TYPEHASH = keccak256(
        "Consent(address leader,Member[] members,uint64 nonce,uint64 until)Member(address account,uint16 firstLayer,uint16 layerCount)"
    );

    bytes32 private constant WORK_TYPEHASH = keccak256("Work(bytes32 claimHash,uint32 step,bytes32 trace)");

    /// @inheritdoc IQuorums
    IStaking public immutable staking;
    /// @inheritdoc IQuorums
    IEmission public immutable emission;
    /// @inheritdoc IQuorums
    IWorkRegistry public immutable registry;

    uint256 private immutable BOND;
    uint64 private immutable BLAME_TIME;

    /// @inheritdoc IQuorums
    uint64 public sessions;
    /// @inheritdoc IQuorums
    mapping(address leader => uint64) public nonceOf;
    /// @inheritdoc IQuorums
    mapping(uint64 session => bytes32) public membersHashOf;

    mapping(uint64 session => Session) private _sessions;
    mapping(bytes32 claimHash => Bound) private _claims;
    mapping(bytes32 claimHash => Fault) private _faults;

    modifier onlyRegistry() {
        _checkRegistry();
        _;
    }

    /// @param registry_ Deployed before; its staking and emission name these quorums by an address computed beforehand.
    constructor(IWorkRegistry registry_) EIP712("ponw", "1") {
        (staking, emission, registry) = (registry_.staking(), registry_.emission(), registry_);
        if (staking.quorums() != address(this)) revert NotQuorums(staking.quorums());
        if (emission.quorums() != address(this)) revert NotQuorums(emission.quorums());
        IWorkRegistry.Parameters memory p = registry_.parameters();
        (BOND, BLAME_TIME) = (2 * p.claimBond, p.window);
    }

    /// @inheritdoc IQuorums
    function register(address leader, Member[] calldata members, uint64 until, bytes[] calldata signatures)
        external
        returns (uint64 session)
    {
        if (until <= block.timestamp || until > block.timestamp + SESSION_MAX) revert WrongEnd(until);
        uint16 layers = Members.check(members, leader);
        bytes32 membersHash = Members.hash(members);
        _checkConsents(_consent(leader, membersHash, nonceOf[leader]++, until), members, signatures);
        session = ++sessions;
        membersHashOf[session] = membersHash;
        _sessions[session] = Session(leader, uint256(until).toUint40(), 0, false, false, layers);
        emit Registered(session, leader, until, membersHash, members);
        for (uint256 i = 0; i < members.length; ++i) {
            staking.lock(members[i].account, BOND);
        }
    }

    /// @inheritdoc IQuorums
    function dissolve(uint64 session) external {
        Session storage s = _sessions[session];
        if (msg.sender != s.leader) revert NotLeader(msg.sender);
        if (s.ended) revert SessionOver(session);
        s.ended = true;
        emit Ended(session);
    }

    /// @inheritdoc IQuorums
    function leave(uint64 session, Member[] calldata members, uint256 index) external {
        _checkMembers(session, members);
        Session storage s = _sessions[session];
        if (s.busy) revert SessionBusy(session);
        if (!s.ended && block.timestamp <= s.until) revert SessionRuns(s.until);
        if (index >= members.length || members[index].account != msg.sender) revert NotMember(msg.sender);
        _free(s, index, msg.sender);
        emit MemberLeft(session, msg.sender);
        staking.unlock(msg.sender, BOND);
    }

    /// @inheritdoc IQuorums
    function pay(bytes32 claimHash, Member[] calldata members) external {
        Bound memory b = _bound(claimHash, State.Due);
        _checkMembers(b.session, members);
        _claims[claimHash].state = State.Paid;
        uint256[] memory shares = _shares(members, b.steps);
        for (uint256 i = 0; i < members.length; ++i) {
            emit MemberPaid(b.session, claimHash, members[i].account, shares[i]);
            emission.accrue(members[i].account, shares[i]);
        }
    }

    /// @inheritdoc IQuorums
    function blame(
        Claim calldata claim,
        Member[] calldata members,
        Programs.Suite calldata suite,
        Segment calldata segment,
        uint256 index,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external {
        bytes32 claimHash = registry.hashClaim(claim);
        Bound memory b = _bound(claimHash, State.Faulty);
        _checkMembers(b.session, members);
        Fault memory f = _faults[claimHash];
        if (block.timestamp > f.deadline) revert TooLate(f.deadline);
        if (Programs.hash(suite) != claim.programHash) revert WrongSuite();
        Members.checkSegment(suite, segment, index, proof, f.op);
        address leader = _sessions[b.session].leader;
        if (segment.layer >= _sessions[b.session].layers) {
            _slash(b.session, claimHash, leader, f.challenger);
            return;
        }
        uint256 at = Members.holderOf(members, segment.layer);
        address owner = members[at].account;
        if (owner != leader) _checkSigned(owner, f.work, signature);
        _free(_sessions[b.session], at, owner);
        _slash(b.session, claimHash, owner, f.challenger);
        staking.unlock(leader, BOND);
    }

    /// @inheritdoc IQuorums
    function blameLeader(bytes32 claimHash) external {
        Bound memory b = _bound(claimHash, State.Faulty);
        Fault memory f = _faults[claimHash];
        if (block.timestamp <= f.deadline) revert TooEarly(f.deadline);
        _slash(b.session, claimHash, _sessions[b.session].leader, f.challenger);
    }

    /// @inheritdoc IQuorums
    function bind(uint64 session, bytes32 claimHash, address node, uint16 layers) external onlyRegistry {
        Session storage s = _sessions[session];
        if (node != s.leader) revert NotLeader(node);
        if (s.ended || block.timestamp > s.until) revert SessionOver(session);
        if (s.busy) revert SessionBusy(session);
        // A session outlives the round it was made for; when the model has grown meanwhile, some layers have no member.
        if (s.layers != layers) revert OtherLayers(s.layers, layers);
        s.busy = true;
        _claims[claimHash] = Bound({ session: session, steps: 0, state: State.Open });
        emit ClaimBound(session, claimHash);
    }

    /// @inheritdoc IQuorums
    function settle(bytes32 claimHash, uint32 steps) external onlyRegistry {
        uint64 session = _bound(claimHash, State.Open).session;
        _claims[claimHash] = Bound({ session: session, steps: steps, state: State.Due });
        _sessions[session].busy = false;
        emit ClaimDue(session, claimHash, steps);
    }

    /// @inheritdoc IQuorums
    function lose(bytes32 claimHash, address challenger, uint32 op, uint32 step, bytes32 trace) external onlyRegistry {
        uint64 session = _bound(claimHash, State.Open).session;
        Session storage s = _sessions[session];
        if (!s.ended) {
            s.ended = true;
            emit Ended(session);
        }
        if (op == ClaimLib.NO_OP) {
            (_claims[claimHash].state, s.busy) = (State.Lost, false);
            emit Blamed(session, claimHash, s.leader);
            return;
        }
        uint64 deadline = (block.timestamp + BLAME_TIME).toUint64();
        _claims[claimHash].state = State.Faulty;
        bytes32 work = hashWork(claimHash, step, trace);
        _faults[claimHash] = Fault({ challenger: challenger, deadline: deadline, op: op, work: work });
        emit FaultFound(session, claimHash, challenger, op, deadline);
    }

    /// @inheritdoc IQuorums
    function sessionOf(uint64 session) external view returns (Session memory) {
        return _sessions[session];
    }

    /// @inheritdoc IQuorums
    function claimOf(bytes32 claimHash) external view returns (Bound memory) {
        return _claims[claimHash];
    }

    /// @inheritdoc IQuorums
    function faultOf(bytes32 claimHash) external view returns (Fault memory) {
        return _faults[claimHash];
    }

    /// @inheritdoc IQuorums
    function hashConsent(address leader, Member[] calldata members, uint64 nonce, uint64 until)
        external
        view
        returns (bytes32)
    {
        return _consent(leader, Members.hash(members), nonce, until);
    }

    /// @inheritdoc IQuorums
    function hashWork(bytes32 claimHash, uint32 step, bytes32 trace) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(WORK_TYPEHASH, claimHash, step, trace)));
    }

    function _slash(uint64 session, bytes32 claimHash, address account, address challenger) private {
        _claims[claimHash].state = State.Lost;
        _sessions[session].busy = false;
        emit Blamed(session, claimHash, account);
        staking.slash(account, BOND, challenger, BOND / 2);
    }

    function _free(Session storage s, uint256 index, address account) private {
        // An index is below 16.
        // forge-lint: disable-next-line(unsafe-typecast, incorrect-shift)
        uint16 bit = uint16(1 << index);
        if (s.freed & bit != 0) revert BondGone(account);
        s.freed |= bit;
    }

    function _checkConsents(bytes32 digest, Member[] calldata members, bytes[] calldata signatures) private pure {
        if (signatures.length != members.length) revert WrongConsents(signatures.length, members.length);
        for (uint256 i = 0; i < members.length; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer != members[i].account) revert NoConsent(i, signer);
        }
    }

    function _checkSigned(address owner, bytes32 work, bytes calldata signature) private pure {
        address signer = ECDSA.recoverCalldata(work, signature);
        if (signer != owner) revert TraceNotSigned(owner, signer);
    }

    /// @dev What each member earns; together never more than the cap of one claim.
    function _shares(Member[] calldata members, uint256 steps) private view returns (uint256[] memory shares) {
        shares = new uint256[](members.length);
        uint256 total = 0;
        for (uint256 i = 0; i < members.length; ++i) {
            uint256 role = Rewards.roleBps(i == 0, i == members.length - 1);
            uint256 stake = staking.activeOf(members[i].account);
            shares[i] = Rewards.memberShare(steps, members[i].layerCount, role, stake);
            total += shares[i];
        }
        if (total <= Rewards.CLAIM_CAP) return shares;
        for (uint256 i = 0; i < members.length; ++i) {
            shares[i] = shares[i] * Rewards.CLAIM_CAP / total;
        }
    }

    function _consent(address leader, bytes32 membersHash, uint64 nonce, uint64 until) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CONSENT_TYPEHASH, leader, membersHash, nonce, until)));
    }

    function _bound(bytes32 claimHash, State wanted) private view returns (Bound memory b) {
        b = _claims[claimHash];
        if (b.state != wanted) revert WrongClaimState(b.state);
    }

    function _checkMembers(uint64 session, Member[] calldata members) private view {
        if (Members.hash(members) != membersHashOf[session]) revert WrongMembers(session);
    }

    function _checkRegistry() private view {
        if (msg.sender != address(registry)) revert OnlyRegistry(msg.sender);
    }
}
