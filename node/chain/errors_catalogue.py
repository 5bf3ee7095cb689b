"""What each custom error of the contracts means to an operator: a sentence and a next step.

Sentences are format strings over the arguments: `{x}` as it is, `{x:neuro}` wei as NEURO, `{x:time}` a timestamp,
`{x:phase}` the name of a round's phase, `{x:proposal}` the state of a proposal, `{x:request}` that of a paid request.
"""

from __future__ import annotations

from node.errors import ContractsError, FundsError, PonwError

_DEPLOY = "The contracts were deployed wrongly; deploy them again in one go with `ponw devnet up` or the deployer."
_INTERNAL = "This should not happen with an unchanged node; report it with the transaction's hash."
_REBUILD = "Nothing was posted. Check that the node runs the network's program and data (`ponw doctor`)."
_CLAIMS = "See `ponw status` for the claim's state; the node takes the next step by itself."
_QUORUM = "Nothing was locked. Form the quorum anew."
_WAIT = "Wait until then and try again."

CATALOGUE: dict[str, tuple[str, str]] = {
    # NeuroToken and OpenZeppelin's ERC20, permit and casts
    "OnlyMinter": ("Only the Emission contract may mint NEURO, not {caller}.", _INTERNAL),
    "ERC20InsufficientBalance": (
        "{sender} holds {balance:neuro} but {needed:neuro} are needed.",
        "Get NEURO first (on a devnet: `ponw devnet up` funds the wallet), or use a smaller amount.",
    ),
    "ERC20InsufficientAllowance": (
        "{spender} may move {allowance:neuro} of yours but {needed:neuro} are needed.",
        "Run the command again; it approves the exact amount first.",
    ),
    "ERC20ExceededCap": ("The supply would pass its cap of {cap:neuro}.", "No more NEURO can be minted."),
    "ERC20InvalidCap": ("{cap} is not a usable supply cap.", _DEPLOY),
    "ERC20InvalidApprover": ("{approver} can't approve anything.", _INTERNAL),
    "ERC20InvalidSpender": ("{spender} can't be approved.", _INTERNAL),
    "ERC20InvalidSender": ("{sender} can't send tokens.", _INTERNAL),
    "ERC20InvalidReceiver": ("{receiver} can't receive tokens.", "Check the address."),
    "ERC2612ExpiredSignature": ("The permit expired at {deadline:time}.", "Run the command again to sign a new one."),
    "ERC2612InvalidSigner": ("The permit is signed by {signer} and not by {owner}.", "Run the command again."),
    "InvalidAccountNonce": (
        "A signature of {account} was used already; the next number is {currentNonce}.",
        "Run the command again.",
    ),
    "ECDSAInvalidSignature": ("The signature is invalid.", "Run the command again to sign anew."),
    "ECDSAInvalidSignatureLength": ("The signature has {length} bytes instead of 65.", _INTERNAL),
    "ECDSAInvalidSignatureS": ("The signature is not in its canonical form.", _INTERNAL),
    "InvalidShortString": ("A contract's short text is malformed.", _DEPLOY),
    "StringTooLong": ("The text '{str}' is too long for the contract.", _DEPLOY),
    "SafeCastOverflowedUintToInt": ("{value} is too large for a signed number.", _INTERNAL),
    "SafeCastOverflowedUintDowncast": ("{value} does not fit {bits} bits.", "Use a smaller amount."),
    "SafeERC20FailedOperation": ("The token {token} refused the transfer.", "Check the configured contract addresses."),
    # Staking
    "ZeroAmount": ("The amount is 0.", "Give an amount above 0."),
    "BelowMinimum": (
        "The active stake would be {active:neuro}, below the minimum of {minimum:neuro}.",
        "Stake at least the minimum; when thawing, leave at least the minimum or thaw everything.",
    ),
    "InsufficientStake": (
        "Only {free:neuro} of your stake is free but {needed:neuro} are needed.",
        "Add stake with `ponw stake add`, or wait until open claims and challenges free theirs.",
    ),
    "NothingThawing": ("No stake is thawing.", "Start with `ponw stake thaw AMOUNT`."),
    "StillThawing": ("The stake is thawing until {until:time}.", _WAIT),
    "WithdrawFirst": ("Stake that has thawed is waiting.", "Run `ponw stake withdraw` first, then thaw more."),
    "NothingToCollect": (
        "There is nothing to collect now.",
        "See `ponw rewards list`; amounts above the day's and epoch's caps can be collected later.",
    ),
    "ShareAboveAmount": ("The share {share:neuro} is above the slashed {amount:neuro}.", _INTERNAL),
    "OnlyRegistry": ("Only the work registry may do that, not {caller}.", _INTERNAL),
    "OnlyKeeper": ("Only the work registry or the vocabulary may do that, not {caller}.", _INTERNAL),
    "ERC5805FutureLookup": ("Votes at {timepoint:time} are not known before that second is over.", _WAIT),
    "VotesExpiredSignature": ("The signed delegation expired at {expiry:time}.", "Sign a new one."),
    # Emission
    "BadSchedule": ("A length in the emission schedule is 0.", _DEPLOY),
    "NotMinter": ("The token's minter is {minter} and not this Emission contract.", _DEPLOY),
    # WorkRegistry
    "Miswired": ("Staking or Emission belongs to another registry, {registry}.", _DEPLOY),
    "BadParameters": ("A network parameter that must be positive is 0.", _DEPLOY),
    "WrongPhase": (
        "The round is in its phase '{phase:phase}', in which that is not taken.",
        "See `ponw status`; the node acts when the phase comes.",
    ),
    "NotClaimNode": ("The claim belongs to {node} but was posted by {caller}.", "Use the claim's own account."),
    "UnknownKind": ("The registry knows no claims of kind {kind}.", _REBUILD),
    "WrongStartRoot": ("The claim starts from {claimed} but the round starts from {expected}.", _REBUILD),
    "WrongProgram": ("The claim names program {claimed} but the network runs {expected}.", _REBUILD),
    "WrongData": ("The claim names dataset {claimed} but the network trains on {expected}.", _REBUILD),
    "WrongSteps": ("The claim has {claimed} steps but at most {most} are taken.", _REBUILD),
    "WrongTokens": ("The claim counts {claimed} tokens where {expected} are right.", _REBUILD),
    "RoundFull": (
        "The round has taken {most} claims, as many as an outer step sums up.",
        "Try again in the next round.",
    ),
    "WrongLayers": ("The claim holds {layerCount} layers from {firstLayer}, which are not all.", _REBUILD),
    "WrongFinalSet": ("The outer step was made over claims {claimed} but {expected} are final.", _REBUILD),
    "WrongTrace": ("The outer claim's trace is {claimed} instead of {expected}.", _REBUILD),
    "SlotBusy": ("The node's previous claim is still open.", _CLAIMS),
    "WrongBase": (
        "The claim's work began in round {base}, which ran other terms than this one, or is none.",
        "Work counts while the network's version, layers and programs stay; begin anew from the current round.",
    ),
    "AlreadyClaimed": (
        "The node has claimed work that began in round {base} or later before.",
        "Each claim's work begins in a later round than the last one's.",
    ),
    "LostThisRound": ("The node has lost a claim in round {round}.", "It can claim again from the next round on."),
    "NotOpenClaim": ("The claim {claimHash} is not the open claim of its node.", _CLAIMS),
    "SelfChallenge": ("A node can't challenge its own claim.", "Use another staked account."),
    "StepOutOfRange": ("Step {step} is not among the claim's {steps} steps.", "Point at a step from 0 on."),
    "AlreadyChallenged": ("You have an open challenge on this claim already.", _CLAIMS),
    "TooManyChallenges": ("As many challenges are open on this claim as can be.", "Wait until one of them has ended."),
    "NotWaiting": ("No challenge waits for an answer there.", _CLAIMS),
    "AlreadyMoved": ("The challenge was moved to another step before.", "Play the game that is open."),
    "NoChallenge": ("There is no such challenge.", _CLAIMS),
    "TooLate": ("The deadline passed at {deadline:time}.", "Nothing can be done about it any more."),
    "TooEarly": ("The deadline runs until {deadline:time}.", _WAIT),
    "BadProof": ("The proof of step {step} does not lead to the claim's trace.", _INTERNAL),
    "BadClock": ("The judge's clocks are 0.", _DEPLOY),
    "BadDescriptor": ("An op's descriptor of {length} bytes does not parse.", _INTERNAL),
    "BadPlace": ("The proof is about another program or place than the dispute.", _INTERNAL),
    "NoGame": ("There is no dispute {game}, or it has ended.", "See `ponw dispute list`."),
    "NotChallenger": ("The dispute is not {caller}'s.", "Only its challenger may move; see `ponw dispute list`."),
    "NotYourTurn": ("It is the other party's turn.", "See `ponw dispute show` for whose clock runs."),
    "NothingWrong": ("What was proved is consistent: it costs nobody a stake.", "See `ponw audit` for what is wrong."),
    "TooManyDemands": ("No more can be demanded in this dispute.", "Prove the lie with what was revealed."),
    "NotProved": ("Proof {what} of the move does not lead to its root.", _INTERNAL),
    "ElementOutOfRange": ("Element {index} is beyond the {size} there are.", _INTERNAL),
    "LeafMissing": ("Leaf {leaf} of operand {operand} was not opened.", _INTERNAL),
    "NotJudged": ("Nothing computes an op of kind {kind}.", _INTERNAL),
    "RowLength": ("Rows of {left} and {right} bytes make no dot product.", _INTERNAL),
    "WrongValues": ("Operand {operand} has {length} bytes, not those the op reads.", _INTERNAL),
    "WrongEndRoot": ("The last step ends at {opened} but the claim says {claimed}.", _INTERNAL),
    "ChallengesOpen": ("{open} challenges are open on the claim.", "It can become final when they have ended."),
    "OnlyJudge": ("Only the judge contract may rule, not {caller}.", _INTERNAL),
    "ClaimStillOpen": ("The challenged claim is still open, so the bond still stands.", _CLAIMS),
    "NoBond": ("No bond of a final claim is locked.", "See `ponw stake status` for what is locked."),
    "NotStaker": ("{caller} has less than the minimum stake.", "Stake first: `ponw stake add AMOUNT`."),
    "UriTooLong": ("The address has {length} bytes; at most 256 are taken.", "Set a shorter `public_uri`."),
    # Vocabulary and its votes
    "OnlyGovernor": ("Only the vocabulary's governor may do that, not {caller}.", _INTERNAL),
    "OnlyEmergency": ("Only the emergency governor may do that, not {caller}.", _INTERNAL),
    "NotVocabulary": ("Staking or Emission belongs to another vocabulary, {vocabulary}.", _DEPLOY),
    "NotGovernor": ("The vocabulary belongs to another governor, {governor}.", _DEPLOY),
    "StaleChange": (
        "The change is about version {parent}, but version {current} is current or on its way to another.",
        "Try again when the transition has ended; a change of an older version must be proposed anew.",
    ),
    "Unsettled": (
        "The model is on its way from version {current} to {target}, or its newest layers are young.",
        "Try again later: `ponw layers growth` says for how many rounds layers are young.",
    ),
    "WrongTerms": (
        "The next round needs the terms of version {version} of the vocabulary, and was opened without them.",
        "The node takes them from the event of the version's proposal; see `ponw vocab list`.",
    ),
    "WrongDepth": (
        "A growth from {layers} layers to {grown} does not start from the model as it is, or adds too few or too many.",
        "Make the growth again with `ponw layers propose`.",
    ),
    "WrongTime": ("The growth is announced at {time:time}, which is to come.", "Check this machine's clock."),
    "WrongYouth": (
        "{rounds} young rounds of {roundSteps} steps are not those in which new layers grow up.",
        "Make the growth again with `ponw layers propose`.",
    ),
    "WrongEncoding": ("The growth is not encoded as the ABI has it.", _INTERNAL),
    "OtherData": ("A growth changes no text, but this one names another dataset, {dataRoot}.", _INTERNAL),
    "NotReady": (
        "Layer {layer} lacks holders, or one of tier 3 or faster.",
        "Nodes that can hold it say so with `ponw layers pledge`.",
    ),
    "AlreadyPledged": ("{account} has pledged to hold layers of this growth before.", "See `ponw layers growth`."),
    "WrongPledge": (
        "The growth adds no layers {first} and {count} on, or {tier} is no tier of speed.",
        "See `ponw layers growth` for what it adds; tiers are 1 to 5.",
    ),
    "NotOpen": ("Growth {id} was never made, is over, or does not wait for a decision.", "See `ponw layers growth`."),
    "AlreadyPaid": ("The reward for version {version} was claimed before.", "See `ponw vocab list`."),
    "NotNew": ("Proposal {id} was made before, or is no number of one.", "Propose under another URI (`--uri`)."),
    "NotBonded": (
        "The bond stands for proposal {bonded} and not for {id}.",
        "Run `ponw vocab propose` again; it locks the bond for what it proposes.",
    ),
    "NothingBonded": ("{proposer} has no bond of a proposal.", "`ponw vocab propose` locks it."),
    "OnlyVocabulary": ("Only the vocabulary may do that, not {caller}.", _INTERNAL),
    "WrongMerges": (
        "{length} bytes are no list of merges: there must be 1 to 1,000 of 8 bytes.",
        "Make the proposal again with `ponw vocab propose`.",
    ),
    "UnknownToken": (
        "Merge {index} joins a special token, or one that does not exist before it.",
        "Make the proposal again with `ponw vocab propose`.",
    ),
    "TooRare": (
        "Merge {index} was seen {occurrences} times; it must be more than 1,000.",
        "Leave it out, or count over more data.",
    ),
    "NotRevocable": (
        "Version {version} can't be taken back now: it is not the newest, the first, or a way back has not ended.",
        "See `ponw vocab list`; try again after the next round.",
    ),
    "AlreadyContested": (
        "An emergency vote about version {version} was opened before.",
        "It is opened once a version; see `ponw vocab list`.",
    ),
    "NoSuchVersion": ("There is no version {version} of the vocabulary.", "See `ponw vocab list`."),
    "NotAdjacent": ("No single step leads from version {current} to version {target}.", _INTERNAL),
    "ProposalOpen": ("You have an open proposal already, {id}.", "Amend or withdraw it, or wait for its vote."),
    "NotOpenProposal": ("{id} is not an open proposal of this account.", "See `ponw vocab list`."),
    "DiscussionOver": ("The discussion of proposal {id} is over.", "The vote decides now."),
    "StillOpen": ("Proposal {id} may still pass, so its bond stands.", "See `ponw vocab show` for its state."),
    "InGrace": ("The change is in its grace time until {until:time}.", _WAIT),
    "ReasonTooLong": ("The reason has {length} bytes; at most 256 are taken.", "Give a shorter one."),
    "OnlyOwnVerbs": ("This governor takes no proposals but changes of the vocabulary.", "Use `ponw vocab propose`."),
    "GovernorAlreadyCastVote": ("{voter} has voted on this proposal.", "A vote can't be changed."),
    "GovernorAlreadyQueuedProposal": ("Proposal {proposalId} is queued.", "See `ponw vocab show` for when it ends."),
    "GovernorDisabledDeposit": ("The governor takes no ether.", _INTERNAL),
    "GovernorInsufficientProposerVotes": (
        "{proposer} has votes of {votes:neuro} but {threshold:neuro} are needed.",
        "Let others delegate to you, or let someone with more stake open the vote.",
    ),
    "GovernorInvalidProposalLength": ("The proposal's lists differ in length.", _INTERNAL),
    "GovernorInvalidSignature": ("The vote is not signed by {voter}.", "Sign it anew."),
    "GovernorInvalidVoteParams": ("The vote carries parameters that nobody reads.", _INTERNAL),
    "GovernorInvalidVoteType": ("The vote is neither for, against nor abstain.", "Vote one of these."),
    "GovernorInvalidVotingPeriod": ("{votingPeriod} seconds are no voting period.", _DEPLOY),
    "GovernorNonexistentProposal": ("There is no proposal {proposalId}.", "See `ponw vocab list`."),
    "GovernorOnlyExecutor": ("Only the governor itself may do that, not {account}.", _INTERNAL),
    "GovernorPreventLateQuorumVoteExtensionTooLarge": (
        "An extension of {newVoteExtension} seconds is above {maxVoteExtension}.",
        _DEPLOY,
    ),
    "GovernorProposalQueueingFailed": ("Proposal {proposalId} can't be queued.", _INTERNAL),
    "GovernorProposalQueueingNotRequired": ("Proposal {proposalId} needs no queue.", "Execute it."),
    "GovernorRestrictedProposer": ("{proposer} may not make this proposal.", _INTERNAL),
    "GovernorUnableToCancel": ("{account} can't cancel proposal {proposalId}.", "Its proposer can, before the vote."),
    "GovernorUnexpectedProposalState": (
        "Proposal {proposalId} is {current:proposal}, in which that is not taken.",
        "See `ponw vocab show` for when its next step comes.",
    ),
    "FailedCall": ("A call by a contract failed without a reason.", _INTERNAL),
    # InferenceEscrow
    "BadTimes": ("A clock of the escrow is 0.", _DEPLOY),
    "InsufficientDeposit": (
        "Only {available:neuro} are deposited but {needed:neuro} are needed.",
        "Add to the deposit with `ponw escrow deposit AMOUNT`.",
    ),
    "NotPayer": ("{caller} is not the payer of this request.", "Use the account that opened it."),
    "NotServer": ("{caller} is not the server of this request.", "Only its server may release it."),
    "BadSignature": ("The signature is not by {signer}.", "Ask the server for a new quote."),
    "QuoteExpired": ("The quote was valid until {validUntil:time}.", "Ask the server for a new quote."),
    "WrongPayees": (
        "The quote names {count} payees, or one that is nobody or holds nothing.",
        "Ask another server for a quote.",
    ),
    "WrongState": (
        "The request is not in the state that this needs, but {state:request}.",
        "See `ponw escrow requests` for where it stands.",
    ),
    # AnswerCourt
    "BadTerms": ("A bond or a clock of the court is 0.", _DEPLOY),
    "NotAnAnswer": ("A claim of kind {kind} is no answer.", "Accuse an answer that its server signed."),
    "SelfAccusation": ("A server can't accuse its own answer.", "Use another account."),
    "NotSigned": ("The answer is signed by {signer} and not by its server.", "Accuse it as it was delivered."),
    "AlreadyAccused": ("This account has accused the answer before.", "An answer can be accused once."),
    "AlreadyLost": ("The answer has been lost to somebody else.", "Take the bond back."),
    "NotAccused": ("The accusation is in state {state}, in which that is not taken.", "See where it stands."),
    "TooManyTokens": ("{tokens} tokens are more than the {most} that were agreed.", _INTERNAL),
    # Quorums
    "NotQuorums": ("Staking or Emission belongs to other quorums, {quorums}.", _DEPLOY),
    "WrongSize": ("A quorum of {members} members; 1 to 16 are possible.", _QUORUM),
    "WrongRange": ("The layers of member {index} do not begin where those before end.", _QUORUM),
    "OtherLayers": (
        "The session's members hold {held} layers together, but the round has {claimed}.",
        "Form the quorum anew: the model has grown, or was taken back.",
    ),
    "DuplicateMember": ("{account} stands among the members twice.", _QUORUM),
    "LeaderNotMember": ("The leader {leader} is none of the members.", _QUORUM),
    "WrongEnd": ("A session can't end at {until:time}: that is past, or more than four hours away.", _QUORUM),
    "WrongConsents": ("{signatures} signatures came for {members} members.", _QUORUM),
    "NoConsent": ("Member {index} did not sign this session; {signer} did.", "Ask for its consent anew."),
    "WrongMembers": ("The members given are not those of session {session}.", "Use those that it was begun with."),
    "NotLeader": ("{caller} does not lead the session.", "Only its leader may do that."),
    "SessionOver": ("Session {session} takes no claims any more.", "Form a new one."),
    "SessionRuns": ("The session runs until {until:time}.", _WAIT),
    "SessionBusy": ("A claim of session {session} is not settled yet.", "Finalise it, or settle its dispute, first."),
    "WrongClaimState": ("The claim is in state {state} of its session, in which that is not taken.", _CLAIMS),
    "NotMember": ("{caller} is not the member it names.", "Name the account's own place among the members."),
    "BondGone": ("{account} has no bond in this session any more: it has left, or was slashed.", _CLAIMS),
    "TraceNotSigned": (
        "The trace that the op is in is signed by {signer} and not by {owner}.",
        "Show the owner's own signature; without it the leader answers for the claim.",
    ),
    "WrongSuite": ("The programs given are not those of the claim.", _INTERNAL),
    "WrongSegment": ("Op {op} is not in the segment given, or that is none of the program's.", _INTERNAL),
}

CLASSES: dict[str, type[PonwError]] = {
    "ERC20InsufficientBalance": FundsError,
    "NotMinter": ContractsError,
    "Miswired": ContractsError,
    "BadSchedule": ContractsError,
    "NotVocabulary": ContractsError,
    "NotGovernor": ContractsError,
    "NotQuorums": ContractsError,
    "BadParameters": ContractsError,
}
"""Errors that mean something more precise than "the contract refused"."""
