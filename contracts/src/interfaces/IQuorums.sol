// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim } from "../libraries/ClaimLib.sol";
import { Programs } from "../libraries/Programs.sol";
import { IEmission } from "./IEmission.sol";
import { IStaking } from "./IStaking.sol";
import { IWorkRegistry } from "./IWorkRegistry.sol";

/// @title IQuorums
/// @notice Sessions of nodes that train the model together, layer range by layer range: who answers for which op of their
/// claims, and who is paid for which layers. docs/QUORUM_CLAIMS.md says it in words.
/// @dev A quorum's claim is the same claim, over the same program, as that of a node alone: its leader posts it through
/// {IWorkRegistry.postFor}. Members are kept as one hash; calls carry them whole. Deadlines are inclusive.
interface IQuorums {
    /// @notice A member and its layers, firstLayer to firstLayer + layerCount - 1. The embedding belongs to layer 0, the
    /// head to the last layer.
    struct Member {
        address account;
        uint16 firstLayer;
        uint16 layerCount;
    }

    /// @param leader Posts the session's claims; one of the members.
    /// @param until Last timestamp at which a claim can be posted for the session.
    /// @param freed One bit a member: its bond is no more.
    /// @param ended Dissolved by the leader, or by a lost claim.
    /// @param busy A claim of the session is open, or its fault is not settled.
    /// @param layers Layers that the members hold together.
    struct Session {
        address leader;
        uint40 until;
        uint16 freed;
        bool ended;
        bool busy;
        uint16 layers;
    }

    /// @notice Where a session's claim stands. Open: the registry has it. Due: final, not paid out. Paid. Faulty: an op of
    /// it was ruled wrong, nobody has been slashed for it yet. Lost: settled.
    enum State {
        None,
        Open,
        Due,
        Paid,
        Faulty,
        Lost
    }

    /// @param session The claim's session.
    /// @param steps Steps of a claim that is Due.
    struct Bound {
        uint64 session;
        uint32 steps;
        State state;
    }

    /// @notice An op ruled wrong. challenger: who is paid for it. deadline: last timestamp for {blame}. work: what the op's
    /// owner must have signed to answer for it, see {hashWork}.
    struct Fault {
        address challenger;
        uint64 deadline;
        uint32 op;
        bytes32 work;
    }

    /// @notice Ops `first` to `last` of the step, and of the update behind it, work on `layer`; the leader answers for
    /// those of layer `layers`, which belong to none.
    struct Segment {
        uint32 first;
        uint32 last;
        uint16 layer;
    }

    /// @notice A session begins.
    event Registered(
        uint64 indexed session, address indexed leader, uint64 until, bytes32 membersHash, Member[] members
    );
    /// @notice The claim is the session's.
    event ClaimBound(uint64 indexed session, bytes32 indexed claimHash);
    /// @notice The claim is final: {pay} can share its reward out.
    event ClaimDue(uint64 indexed session, bytes32 indexed claimHash, uint32 steps);
    /// @notice `account` earned `reward` for its layers in a claim.
    event MemberPaid(uint64 indexed session, bytes32 indexed claimHash, address indexed account, uint256 reward);
    /// @notice Op `op` of the claim was ruled wrong; its owner can be named until `deadline`.
    event FaultFound(uint64 indexed session, bytes32 indexed claimHash, address challenger, uint32 op, uint64 deadline);
    /// @notice `account` answered for a lost claim with its bond.
    event Blamed(uint64 indexed session, bytes32 indexed claimHash, address indexed account);
    /// @notice No claim is posted for the session any more.
    event Ended(uint64 indexed session);
    /// @notice `account` has its bond back.
    event MemberLeft(uint64 indexed session, address indexed account);

    /// @notice Thrown when staking or emission names other quorums: a wrong order of deployment.
    error NotQuorums(address quorums);
    /// @notice Thrown when anyone but the registry calls what is the registry's.
    error OnlyRegistry(address caller);
    /// @notice Thrown when there are no members, or more than 16.
    error WrongSize(uint256 members);
    /// @notice Thrown when the range of member `index` does not begin where the one before it ended, or is empty.
    error WrongRange(uint256 index);
    /// @notice Thrown when the members of a session hold more layers than there are numbers, or than the claim's, or fewer.
    error OtherLayers(uint256 held, uint256 claimed);
    /// @notice Thrown when an account is a member twice.
    error DuplicateMember(address account);
    /// @notice Thrown when the leader is no member.
    error LeaderNotMember(address leader);
    /// @notice Thrown when a session would end in the past, or last longer than it may.
    error WrongEnd(uint64 until);
    /// @notice Thrown when there is not one signature a member.
    error WrongConsents(uint256 signatures, uint256 members);
    /// @notice Thrown when member `index` did not sign this session.
    error NoConsent(uint256 index, address signer);
    /// @notice Thrown when the op's owner did not sign the trace that it is in.
    error TraceNotSigned(address owner, address signer);
    /// @notice Thrown when the members given are not the session's, or there is no such session.
    error WrongMembers(uint64 session);
    /// @notice Thrown when anyone but the session's leader acts for it.
    error NotLeader(address caller);
    /// @notice Thrown when a session takes no claims any more.
    error SessionOver(uint64 session);
    /// @notice Thrown when a session still runs.
    error SessionRuns(uint64 until);
    /// @notice Thrown when a claim of the session is open or its fault is not settled.
    error SessionBusy(uint64 session);
    /// @notice Thrown when a claim stands elsewhere than the call needs.
    error WrongClaimState(State state);
    /// @notice Thrown when the caller is not the member it says it is.
    error NotMember(address caller);
    /// @notice Thrown when the member's bond is no more: it has left, or was slashed.
    error BondGone(address account);
    /// @notice Thrown when a suite is not the one of the claim's program.
    error WrongSuite();
    /// @notice Thrown when a segment is not in the program's table, or the op ruled wrong not in the segment.
    error WrongSegment(uint32 op);
    /// @notice Thrown when an owner is named after the deadline.
    error TooLate(uint64 deadline);
    /// @notice Thrown when the leader is made to answer before the deadline.
    error TooEarly(uint64 deadline);

    /// @notice Begins a session with every member's signature of it, the leader's included. Anyone may send it.
    /// @dev Locks 2B of every member's stake. A signature is good for the leader's next session only, on this chain and
    /// contract, and no later than `until`, which is at most 4 hours away.
    /// @param members In the order of their layers.
    /// @param signatures EIP-712 signatures of Consent(address leader,Member[] members,uint64 nonce,uint64 until).
    function register(address leader, Member[] calldata members, uint64 until, bytes[] calldata signatures)
        external
        returns (uint64 session);

    /// @notice Ends the caller's session early. Its members can leave once no claim of it is open.
    function dissolve(uint64 session) external;
    /// @notice Frees the bond of the caller, member `index`, once the session is over and no claim of it is open.
    /// @dev It needs nobody else: whoever wants out can finalise, time out and settle what is open himself.
    function leave(uint64 session, Member[] calldata members, uint256 index) external;
    /// @notice Accrues a final claim's reward to the members by the layers they hold. Anyone may call.
    /// @dev Shares are rounded down and cut in proportion where they pass the cap of a claim; the rest is never minted.
    function pay(bytes32 claimHash, Member[] calldata members) external;
    /// @notice Slashes whoever holds the layer of the op that was ruled wrong, and frees the leader's bond. Anyone may
    /// call.
    /// @dev A trace is posted by the leader, which could put a lie of its own at another's op: so a member answers only
    /// for a trace that it has signed, and for one that nobody signed the leader does.
    /// @param signature The owner's of {hashWork}; not looked at where the owner is the leader, who posted the trace.
    /// @param index, proof Place of the segment in the table that the claim's program commits to.
    function blame(
        Claim calldata claim,
        Member[] calldata members,
        Programs.Suite calldata suite,
        Segment calldata segment,
        uint256 index,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external;
    /// @notice Slashes the leader: nobody has shown in time whose the op is. Anyone may call.
    function blameLeader(bytes32 claimHash) external;

    /// @notice Takes a claim of `node` over this many layers up. Registry only.
    function bind(uint64 session, bytes32 claimHash, address node, uint16 layers) external;
    /// @notice The claim is final. Registry only.
    function settle(bytes32 claimHash, uint32 steps) external;
    /// @notice The claim is lost; op {NO_OP}: the leader has answered for it. Else the leader's 2B are left locked, and
    /// these quorums decide about them. Registry only.
    function lose(bytes32 claimHash, address challenger, uint32 op, uint32 step, bytes32 trace) external;

    /// @notice Where stake is held.
    function staking() external view returns (IStaking);
    /// @notice Where rewards accrue.
    function emission() external view returns (IEmission);
    /// @notice Whose claims these are.
    function registry() external view returns (IWorkRegistry);
    /// @notice A session; all zero if there is none.
    function sessionOf(uint64 session) external view returns (Session memory);
    /// @notice The hash of a session's members.
    function membersHashOf(uint64 session) external view returns (bytes32);
    /// @notice The session and state of a claim; all zero if it is no quorum's.
    function claimOf(bytes32 claimHash) external view returns (Bound memory);
    /// @notice The fault of a claim that is Faulty, or was.
    function faultOf(bytes32 claimHash) external view returns (Fault memory);
    /// @notice Sessions begun under `leader`: what the consents to its next one name.
    function nonceOf(address leader) external view returns (uint64);
    /// @notice Number of the newest session, 0 before the first.
    function sessions() external view returns (uint64);
    /// @notice EIP-712 digest of Work(bytes32 claimHash,uint32 step,bytes32 trace): a member's word that its ops in the
    /// trace of a challenged step are its own.
    function hashWork(bytes32 claimHash, uint32 step, bytes32 trace) external view returns (bytes32);
    /// @notice EIP-712 digest of a consent.
    function hashConsent(address leader, Member[] calldata members, uint64 nonce, uint64 until)
        external
        view
        returns (bytes32);
}
