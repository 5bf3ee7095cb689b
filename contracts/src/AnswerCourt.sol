// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IAnswerCourt } from "./interfaces/IAnswerCourt.sol";
import { Dispute, IJudge } from "./interfaces/IJudge.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "./libraries/ClaimLib.sol";
import { Rfc9162 } from "./libraries/Rfc9162.sol";

/// @title AnswerCourt
/// @notice Accusations of signed answers. See {IAnswerCourt}.
/// @dev Calls out go to the fixed staking and judge, after every change of state of this contract.
contract AnswerCourt is IAnswerCourt, EIP712 {
    using ClaimLib for Claim;
    using SafeCast for uint256;

    /// @inheritdoc IAnswerCourt
    IStaking public immutable staking;

    IJudge private immutable JUDGE;
    uint256 private immutable CLAIM_BOND;
    uint256 private immutable ACCUSATION_BOND;
    uint64 private immutable WINDOW;
    uint64 private immutable RESPONSE;

    mapping(bytes32 claimHash => Case) private _cases;
    mapping(bytes32 claimHash => mapping(address challenger => Accusation)) private _accusations;

    /// @param judge_ A judge of its own, usually at an address computed beforehand, whose registry is this contract.
    constructor(IStaking staking_, IJudge judge_, Terms memory t) EIP712("ponw", "1") {
        if (staking_.court() != address(this)) revert Miswired(staking_.court());
        if (t.claimBond == 0 || t.accusationBond == 0 || t.window == 0 || t.response == 0) revert BadTerms();
        staking = staking_;
        JUDGE = judge_;
        (CLAIM_BOND, ACCUSATION_BOND, WINDOW, RESPONSE) = (t.claimBond, t.accusationBond, t.window, t.response);
    }

    /// @inheritdoc IAnswerCourt
    function accuse(Claim calldata claim, bytes calldata signature, uint32 step) external returns (bytes32 claimHash) {
        if (claim.kind != ClaimLib.ANSWER) revert NotAnAnswer(claim.kind);
        if (claim.base != 0) revert WrongBase(claim.base);
        if (msg.sender == claim.node) revert SelfAccusation();
        _checkStep(claim, step);
        claimHash = hashClaim(claim);
        address signer = ECDSA.recoverCalldata(claimHash, signature);
        if (signer != claim.node) revert NotSigned(signer);
        uint64 until = claim.round + WINDOW;
        if (block.timestamp > until) revert TooLate(until);
        Case storage k = _cases[claimHash];
        if (k.lost) revert AlreadyLost();
        Accusation storage a = _accusations[claimHash][msg.sender];
        if (a.state != State.None) revert AlreadyAccused();

        uint64 deadline = _deadline();
        (a.state, a.step, a.deadline) = (State.Waiting, step, deadline);
        uint256 locked = k.open == 0 ? _lockable(claim.node) : 0;
        k.open += 1;
        if (locked != 0) k.locked = locked.toUint128();
        emit Accused(claimHash, claim.node, msg.sender, claim, step, deadline);
        if (locked != 0) staking.lock(claim.node, locked);
        staking.lock(msg.sender, ACCUSATION_BOND);
    }

    /// @inheritdoc IAnswerCourt
    function answer(Claim calldata claim, address challenger, IWorkRegistry.Opening calldata opened, bytes32 trace)
        external
    {
        if (msg.sender != claim.node) revert NotServer(msg.sender);
        (bytes32 claimHash, Accusation storage a) = _accusation(claim, challenger, State.Waiting);
        if (block.timestamp > a.deadline) revert TooLate(a.deadline);
        uint32 step = a.step;
        bytes32 leaf = Rfc9162.traceLeaf(opened.stateRoot, opened.batchRoot, opened.lossBits, step);
        if (!Rfc9162.verifyInclusion(claim.traceRoot, leaf, step, claim.steps, opened.proof)) revert BadProof(step);
        a.state = State.Judged;
        Dispute memory d =
            Dispute(claim, challenger, step, claim.startRoot, 0, opened.batchRoot, opened.lossBits, trace);
        emit AccusationAnswered(claimHash, claim.node, challenger, step, d.batch, d.lossBits, trace);
        JUDGE.open(d);
    }

    /// @inheritdoc IAnswerCourt
    function timeout(Claim calldata claim, address challenger) external {
        (bytes32 claimHash, Accusation storage a) = _accusation(claim, challenger, State.Waiting);
        if (block.timestamp <= a.deadline) revert TooEarly(a.deadline);
        _serverLoses(claim, claimHash, challenger);
    }

    /// @inheritdoc IAnswerCourt
    function rule(Claim calldata claim, address challenger, bool serverWon, uint32, bytes32) external {
        if (msg.sender != address(JUDGE)) revert OnlyJudge(msg.sender);
        (bytes32 claimHash,) = _accusation(claim, challenger, State.Judged);
        if (serverWon) _serverWins(claim, claimHash, challenger);
        else _serverLoses(claim, claimHash, challenger);
    }

    /// @inheritdoc IAnswerCourt
    function repoint(Claim calldata claim, address challenger, uint32 step) external {
        if (msg.sender != address(JUDGE)) revert OnlyJudge(msg.sender);
        (bytes32 claimHash, Accusation storage a) = _accusation(claim, challenger, State.Judged);
        if (a.moved) revert AlreadyMoved();
        _checkStep(claim, step);
        uint64 deadline = _deadline();
        (a.state, a.moved, a.step, a.deadline) = (State.Waiting, true, step, deadline);
        emit Accused(claimHash, claim.node, challenger, claim, step, deadline);
    }

    /// @inheritdoc IAnswerCourt
    function reclaim(Claim calldata claim, address challenger) external {
        bytes32 claimHash = hashClaim(claim);
        Accusation storage a = _accusations[claimHash][challenger];
        bool open = a.state == State.Waiting || a.state == State.Judged;
        if (!open || !_cases[claimHash].lost) revert NotAccused(a.state);
        a.state = State.Failed;
        emit AccusationReleased(claimHash, challenger);
        staking.unlock(challenger, ACCUSATION_BOND);
    }

    /// @inheritdoc IAnswerCourt
    function caseOf(bytes32 claimHash) external view returns (Case memory) {
        return _cases[claimHash];
    }

    /// @inheritdoc IAnswerCourt
    function accusationOf(bytes32 claimHash, address challenger) external view returns (Accusation memory) {
        return _accusations[claimHash][challenger];
    }

    /// @inheritdoc IAnswerCourt
    function terms() external view returns (Terms memory) {
        return Terms(CLAIM_BOND, ACCUSATION_BOND, WINDOW, RESPONSE);
    }

    /// @inheritdoc IAnswerCourt
    function hashClaim(Claim calldata claim) public view returns (bytes32) {
        return _hashTypedDataV4(claim.structHash());
    }

    function _serverWins(Claim calldata claim, bytes32 claimHash, address challenger) private {
        _accusations[claimHash][challenger].state = State.Failed;
        Case storage k = _cases[claimHash];
        uint32 open = k.open - 1;
        k.open = open;
        uint256 freed = open == 0 ? k.locked : 0;
        if (freed != 0) k.locked = 0;
        emit AccusationFailed(claimHash, claim.node, challenger);
        if (freed != 0) staking.unlock(claim.node, freed);
        staking.unlock(challenger, ACCUSATION_BOND);
        staking.slash(challenger, ACCUSATION_BOND, claim.node, ACCUSATION_BOND / 2);
    }

    function _serverLoses(Claim calldata claim, bytes32 claimHash, address challenger) private {
        Accusation storage a = _accusations[claimHash][challenger];
        a.state = State.Won;
        uint256 locked = _cases[claimHash].locked;
        _cases[claimHash] = Case({ locked: 0, open: 0, lost: true });
        emit AnswerLost(claimHash, claim.node, challenger, a.step);
        if (locked != 0) staking.unlock(claim.node, locked);
        staking.slash(claim.node, 2 * CLAIM_BOND, challenger, CLAIM_BOND);
        staking.unlock(challenger, ACCUSATION_BOND);
    }

    /// @dev An open accusation of a claim that nobody has won against.
    function _accusation(Claim calldata claim, address challenger, State wanted)
        private
        view
        returns (bytes32 claimHash, Accusation storage a)
    {
        claimHash = hashClaim(claim);
        a = _accusations[claimHash][challenger];
        if (a.state != wanted) revert NotAccused(a.state);
        if (_cases[claimHash].lost) revert AlreadyLost();
    }

    /// @dev As much of twice the bond as the server's stake has free: what it has thawing is slashed all the same.
    function _lockable(address server) private view returns (uint256) {
        IStaking.Account memory account = staking.accountOf(server);
        uint256 free = account.active - account.locked;
        if (account.active < staking.minimumStake()) return 0;
        return free < 2 * CLAIM_BOND ? free : 2 * CLAIM_BOND;
    }

    function _deadline() private view returns (uint64) {
        return (block.timestamp + RESPONSE).toUint64();
    }

    function _checkStep(Claim calldata claim, uint32 step) private pure {
        if (step >= claim.steps) revert StepOutOfRange(step, claim.steps);
    }
}
