// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { EmergencyGovernor } from "../src/EmergencyGovernor.sol";
import { AnswerCourt } from "../src/AnswerCourt.sol";
import { Emission } from "../src/Emission.sol";
import { GrowthGovernor } from "../src/GrowthGovernor.sol";
import { InferenceEscrow } from "../src/InferenceEscrow.sol";
import { Judge } from "../src/Judge.sol";
import { NeuroToken } from "../src/NeuroToken.sol";
import { Quorums } from "../src/Quorums.sol";
import { Scalar } from "../src/Scalar.sol";
import { Staking } from "../src/Staking.sol";
import { Vocabulary } from "../src/Vocabulary.sol";
import { VocabularyGovernor } from "../src/VocabularyGovernor.sol";
import { WorkRegistry } from "../src/WorkRegistry.sol";
import { IAnswerCourt } from "../src/interfaces/IAnswerCourt.sol";
import { IEmission } from "../src/interfaces/IEmission.sol";
import { IJudge } from "../src/interfaces/IJudge.sol";
import { IWorkRegistry } from "../src/interfaces/IWorkRegistry.sol";
import { vm } from "./Vm.sol";

/// @title Deployment
/// @notice The one order in which the fourteen contracts are deployed; any client that keeps it gets the same addresses.
/// @dev NeuroToken, Staking, Emission, WorkRegistry, Scalar, Judge, Vocabulary, VocabularyGovernor, EmergencyGovernor,
/// InferenceEscrow, AnswerCourt with a Judge of its own, Quorums and GrowthGovernor at the deployer's nonces n to n+13.
/// Contracts that name later ones get their addresses computed first. The deployer keeps no power afterwards: nothing has an owner.
abstract contract Deployment {
    /// @param discussion, vote, voteExtension, grace, emergency Seconds of the votes about the vocabulary.
    struct Votes {
        uint48 discussion;
        uint32 vote;
        uint48 voteExtension;
        uint48 grace;
        uint32 emergency;
    }

    struct Config {
        address genesisHolder;
        uint256 genesisSupply;
        uint256 supplyCap;
        uint256 minimumStake;
        uint64 thawPeriod;
        IEmission.Schedule schedule;
        IWorkRegistry.Parameters parameters;
        uint64 extension;
        Votes votes;
        uint64 progressTime;
        uint64 settleTime;
        uint64 answerWindow;
        address court;
    }

    struct System {
        NeuroToken token;
        Staking staking;
        Emission emission;
        WorkRegistry registry;
        Scalar scalar;
        Judge judge;
        Vocabulary vocabulary;
        VocabularyGovernor governor;
        EmergencyGovernor emergency;
        InferenceEscrow escrow;
        AnswerCourt court;
        Judge courtJudge;
        Quorums quorums;
        GrowthGovernor growth;
    }

    /// @param deployer The account whose nonces the creations take.
    /// @param c Where `extension` is 0, neither scalar nor judge is deployed: the registry has the judge that its parameters
    /// name, and what follows takes their nonces.
    /// Where `answerWindow` is 0, no court of answers is deployed: stakes answer to the one at `court`, if any.
    function _deploy(address deployer, Config memory c) internal returns (System memory s) {
        uint256 nonce = vm.getNonce(deployer);
        uint256 after_ = nonce + (c.extension == 0 ? 4 : 6);
        address emission = vm.computeCreateAddress(deployer, nonce + 2);
        address registry = vm.computeCreateAddress(deployer, nonce + 3);
        address vocabulary = vm.computeCreateAddress(deployer, after_);
        s.token = new NeuroToken(emission, c.genesisHolder, c.genesisSupply, c.supplyCap);
        address court = c.answerWindow == 0 ? c.court : vm.computeCreateAddress(deployer, after_ + 4);
        address quorums = vm.computeCreateAddress(deployer, after_ + (c.answerWindow == 0 ? 4 : 6));
        s.staking = new Staking(s.token, registry, vocabulary, court, quorums, c.minimumStake, c.thawPeriod);
        s.emission = new Emission(s.token, registry, vocabulary, quorums, c.schedule);
        if (c.extension != 0) c.parameters.judge = vm.computeCreateAddress(deployer, nonce + 5);
        s.registry = new WorkRegistry(s.staking, s.emission, c.parameters);
        if (c.extension != 0) {
            s.scalar = new Scalar(s.registry);
            s.judge = new Judge(s.registry, s.scalar, c.parameters.responseTime, c.extension);
        }
        _deployVotes(deployer, c, s, vm.computeCreateAddress(deployer, after_ + (c.answerWindow == 0 ? 5 : 7)));
        s.escrow = new InferenceEscrow(s.token, c.progressTime, c.settleTime);
        if (c.answerWindow != 0) _deployCourt(deployer, c, s);
        s.quorums = new Quorums(s.registry);
        s.growth = new GrowthGovernor(s.vocabulary, c.votes.discussion, c.votes.vote, c.votes.voteExtension);
    }

    /// @dev The court and a judge of its own.
    function _deployCourt(address deployer, Config memory c, System memory s) private {
        address judge = vm.computeCreateAddress(deployer, vm.getNonce(deployer) + 1);
        IWorkRegistry.Parameters memory p = c.parameters;
        IAnswerCourt.Terms memory terms =
            IAnswerCourt.Terms(p.claimBond, p.challengeBond, c.answerWindow, p.responseTime);
        s.court = new AnswerCourt(s.staking, IJudge(judge), terms);
        s.courtJudge = new Judge(IWorkRegistry(address(s.court)), s.scalar, p.responseTime, c.extension);
    }

    function _deployVotes(address deployer, Config memory c, System memory s, address deepener) private {
        uint256 nonce = vm.getNonce(deployer);
        address governor = vm.computeCreateAddress(deployer, nonce + 1);
        address emergency = vm.computeCreateAddress(deployer, nonce + 2);
        s.vocabulary = new Vocabulary(s.registry, governor, emergency, deepener);
        Votes memory v = c.votes;
        s.governor = new VocabularyGovernor(s.vocabulary, v.discussion, v.vote, v.voteExtension, v.grace);
        s.emergency = new EmergencyGovernor(s.vocabulary, v.emergency);
    }
}
