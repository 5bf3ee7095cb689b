"""`ponw vocab`: the vocabulary's versions, proposals to change it, and the votes about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from node.chain.units import format_time, format_units
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.session import settings_of, signing_contracts
from node.cli.versions_desk import print_checks
from node.cli.vocab_desk import Reader, proposed, require_checked
from node.cli.votes import Choice, DryRunOption, UncheckedOption
from node.vocabulary.ballots import Ballot, ballots, change_of, find, look, put_forward
from node.vocabulary.versions import depths
from node.vocabulary.votes import short, spelled

app = typer.Typer(
    help="Vocabulary: propose, check, list, show, vote, amend, queue, activate, rollback, release, reward.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="the proposal's number, or its first digits")]
FileArgument = Annotated[Path | None, typer.Argument(help="JSON list of merges (docs/VOCABULARY.md)")]
SuggestOption = Annotated[int | None, typer.Option("--suggest", help="propose this many of the most frequent merges")]
UriOption = Annotated[str, typer.Option("--uri", help="where the proposal is explained")]


@app.command()
def propose(
    ctx: typer.Context,
    file: FileArgument = None,
    suggest: SuggestOption = None,
    uri: UriOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Propose new tokens. Everything that voters will check is checked first; a bond of stake is locked before.

    Examples:

        ponw vocab propose --suggest 50 --dry-run

        ponw vocab propose merges.json --uri https://example.org/why
    """
    read = Reader.of(settings_of(ctx))
    draft = proposed(read, file, suggest)
    typer.echo(f"{len(draft.merges)} new tokens after version {draft.parent}; every check passed.")
    if dry_run:
        _tokens(read, draft.parent, change_of(draft).merges)
        return
    contracts = signing_contracts(read.settings, password_file, yes)
    change = change_of(draft)
    number = put_forward(contracts.governor, change, contracts.client.address, uri)
    ballot = find(contracts, read.first, spelled(number))
    typer.echo(f"Proposal {short(number)}: {ballot.words()}.")


@app.command()
def amend(
    ctx: typer.Context,
    name: IdArgument,
    file: FileArgument = None,
    suggest: SuggestOption = None,
    uri: UriOption = "",
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Replace your proposal while it is discussed. The discussion starts again; the bond stays where it is.

    Examples:

        ponw vocab amend 0x51d2 better.json
    """
    read = Reader.of(settings_of(ctx))
    old = find(read.contracts, read.first, name).proposal.id
    draft = proposed(read, file, suggest)
    contracts = signing_contracts(read.settings, password_file, yes)
    change = change_of(draft)
    contracts.governor.amend(old, change, uri)
    number = contracts.governor.id_of(change, contracts.client.address, uri)
    typer.echo(f"Proposal {short(old)} is now {short(number)}; its discussion has started again.")


@app.command()
def check(ctx: typer.Context, name: IdArgument) -> None:
    """Recount and recompute all that a proposal claims, from this machine's own text; exit status 17 where it differs.

    Examples:

        ponw vocab check 0x51d2
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    refusals = print_checks(read.desk.checks(ballot.draft))
    require_checked(refusals)
    typer.echo("Everything is as claimed.")


@app.command("list")
def list_all(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Versions, growths of layers among them (`ponw layers growth` has their votes), and proposals of words.

    Examples:

        ponw vocab list

        ponw vocab list --format json
    """
    read = Reader.of(settings_of(ctx))
    vocabulary = read.contracts.vocabulary
    current, target = vocabulary.state()
    versions = [(number, vocabulary.version_of(number)) for number in range(vocabulary.count())]
    grown = depths(read.contracts, read.first)
    found = list(ballots(read.contracts, read.first))
    if output is Format.JSON:
        print_json({
            "current": current,
            "target": target,
            "versions": [{"number": number, **_kind(number, grown), **vars(version)} for number, version in versions],
            "proposals": [_row(ballot) for ballot in found],
        })  # fmt: skip
        return
    table = Table("version", "kind", "rows", "parent", "activated", "state")
    for number, version in versions:
        when = format_time(version.activated_at) if version.activated_at else "-"
        kind, state = _kind_words(number, grown), _standing(number, current, target)
        table.add_row(str(number), kind, str(version.size), str(version.parent), when, state)
    print_table(table)
    if not found:
        typer.echo("No proposal yet: `ponw vocab propose --suggest 50 --dry-run` shows what would be worth one.")
        return
    table = Table("proposal", "parent", "tokens", "by", "state")
    for ballot in found:
        change = ballot.proposal.change
        tokens, proposer = str(len(change.merges) // 8), ballot.proposal.proposer
        table.add_row(short(ballot.proposal.id), str(change.parent), tokens, proposer, ballot.words())
    print_table(table)


@app.command()
def show(ctx: typer.Context, name: IdArgument, output: FormatOption = Format.TEXT) -> None:
    """One proposal with its tokens and its votes.

    Examples:

        ponw vocab show 0x51d2
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    if output is Format.JSON:
        print_json(_row(ballot))
        return
    proposal, tally = ballot.proposal, ballot.tally
    typer.echo(f"Proposal {spelled(proposal.id)} by {proposal.proposer}: {ballot.words()}.")
    typer.echo(f"Explained at: {proposal.uri or '-'} (the proposer's own words)")
    typer.echo(
        f"Approve {format_units(tally.in_favour)}, reject {format_units(tally.against)}, "
        f"abstain {format_units(tally.abstain)}; quorum {format_units(tally.quorum)}."
    )
    _tokens(read, proposal.change.parent, proposal.change.merges)


@app.command()
def vote(
    ctx: typer.Context,
    name: IdArgument,
    choice: Choice,
    unchecked: UncheckedOption = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Vote with your stake of the moment the discussion ended. To approve checks the proposal first.

    Examples:

        ponw vocab vote 0x51d2 approve

        ponw vocab vote 0x51d2 reject --yes
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    if choice is Choice.APPROVE and not unchecked:
        require_checked(print_checks(read.desk.checks(ballot.draft)))
    contracts = signing_contracts(read.settings, password_file, yes)
    contracts.governor.vote(ballot.proposal.id, choice.support)
    typer.echo(f"Voted. Proposal {short(ballot.proposal.id)}: {look(contracts, ballot.proposal).words()}.")


@app.command()
def queue(ctx: typer.Context, name: IdArgument, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Start the grace time of a proposal that has passed. Anyone may.

    Examples:

        ponw vocab queue 0x51d2
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    contracts = signing_contracts(read.settings, password_file, yes)
    contracts.governor.queue(ballot.proposal)
    typer.echo(f"Proposal {short(ballot.proposal.id)}: {look(contracts, ballot.proposal).words()}.")


@app.command()
def activate(
    ctx: typer.Context, name: IdArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Activate a proposal after its grace time: the next round grows into it. Anyone may.

    Examples:

        ponw vocab activate 0x51d2
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    contracts = signing_contracts(read.settings, password_file, yes)
    contracts.governor.execute(ballot.proposal)
    version = contracts.vocabulary.state()[1]
    typer.echo(f"Version {version} is the target: the next round grows into it.")
    typer.echo(f"Its proposer's bond: `ponw vocab release {name}`; its reward: `ponw vocab reward {version}`.")


@app.command()
def release(ctx: typer.Context, name: IdArgument, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Free the bond of a proposal that is activated or cannot pass any more. Anyone may; the stake is its proposer's.

    Examples:

        ponw vocab release 0x51d2
    """
    read = Reader.of(settings_of(ctx))
    ballot = find(read.contracts, read.first, name)
    contracts = signing_contracts(read.settings, password_file, yes)
    if contracts.governor.bond_of(ballot.proposal.proposer) != ballot.proposal.id:
        typer.echo(f"The bond of {ballot.proposal.proposer} does not stand for proposal {short(ballot.proposal.id)}.")
        return
    contracts.governor.release_bond(ballot.proposal.proposer)
    typer.echo(f"The bond of proposal {short(ballot.proposal.id)} is free.")


@app.command()
def reward(ctx: typer.Context, version: int, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Claim the reward for an activated version, once. Anyone may; it is its proposer's, who collects it with the rest.

    Examples:

        ponw vocab reward 1
    """
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    contracts.vocabulary.claim_reward(version)
    proposer = contracts.vocabulary.version_of(version).proposer
    typer.echo(f"The reward for version {version} has accrued to {proposer}; `ponw rewards claim` pays it out.")


@app.command()
def rollback(
    ctx: typer.Context,
    version: int,
    reason: Annotated[str, typer.Option("--reason", help="why, for the voters")] = "",
    choice: Annotated[Choice | None, typer.Option("--vote", help="vote in the emergency vote that is open")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="carry out an emergency vote that has passed")] = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Take the newest version back: open an emergency vote, vote in it, carry it out. Once a version.

    Opening needs a tenth of all stake, one's own or delegated. A vote that passes slashes the proposer's bond.

    Examples:

        ponw vocab rollback 1 --reason "it splits numbers badly"

        ponw vocab rollback 1 --vote approve

        ponw vocab rollback 1 --execute
    """
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    emergency = contracts.emergency
    if execute:
        emergency.execute(version)
        current, target = contracts.vocabulary.state()
        typer.echo(f"Version {version} is taken back: rounds go from version {current} to {target}.")
        return
    number = emergency.id_of(version)
    if choice is not None:
        emergency.vote(number, choice.support)
    else:
        emergency.propose_rollback(version, reason)
        number = emergency.id_of(version)
    state, deadline = emergency.state(number), format_time(emergency.deadline(number))
    typer.echo(f"Emergency vote about version {version}: {state.name.lower()}, until {deadline}.")


def _standing(number: int, current: int, target: int) -> str:
    if number == current:
        return "current" if current == target else f"current, on the way to {target}"
    return "the next round goes there" if number == target else "-"


def _kind(number: int, grown: Mapping[int, tuple[int, int]]) -> dict[str, object]:
    """What made a version; `before` and `after` count layers."""
    before, after = grown.get(number, (None, None))
    return {"kind": "layers" if number in grown else "words" if number else "first", "before": before, "after": after}


def _kind_words(number: int, grown: Mapping[int, tuple[int, int]]) -> str:
    kind = _kind(number, grown)
    return f"layers {kind['before']} -> {kind['after']}" if number in grown else str(kind["kind"])


def _row(ballot: Ballot) -> dict[str, object]:
    proposal, tally = ballot.proposal, ballot.tally
    return {
        "id": spelled(proposal.id),
        "proposer": proposal.proposer,
        "parent": proposal.change.parent,
        "uri": proposal.uri,
        "state": ballot.state.name.lower(),
        "words": ballot.words(),
        "approve_wei": tally.in_favour,
        "reject_wei": tally.against,
        "abstain_wei": tally.abstain,
        "quorum_wei": tally.quorum,
        "vote_starts": ballot.snapshot,
        "vote_ends": ballot.deadline,
        "eta": ballot.eta,
        "merges": [[merge.left, merge.right, merge.occurrences] for merge in ballot.draft.merges],
    }


def _tokens(read: Reader, parent: int, merges: bytes) -> None:
    table = Table("id", "token", "occurrences")
    for token, text, occurrences in read.tokens(parent, merges):
        table.add_row(str(token), text, f"{occurrences:,}")
    print_table(table)
