"""Faults of quorums: members killed, restarted, lost as leaders, slowed down, and their peer processes killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.chaos.fleet import HOLDINGS, Fleet, HangError, Node, Options, Said
from bench.quorum_node import MODELS, alone

Report = dict[str, Any]
FIRST_SECONDS: Final = 180.0
"""For a first quorum to form and train a round, while processes still start."""
STEPS: Final = 20
TIMEOUT: Final = 10.0
PATIENT: Final = 3 * TIMEOUT
"""Where a member is to be slow and not silent: 20 times slower, it could be taken for lost within `TIMEOUT`."""
LIMIT: Final = 4 * TIMEOUT + 30.0
"""Seconds from a member's loss to a round of its quorum's successor: links may be tried for `timeout`, the last try may
take a dial and a door of as much again; then the lost one is offline, and a proposal is answered."""


def first_round(fleet: Fleet, since: float = 0.0) -> tuple[str, list[Node]]:
    """Wait until a quorum has trained a round after `since`; its id, and its members in the order of their seats."""
    until = time.monotonic() + FIRST_SECONDS
    while time.monotonic() < until:
        for line in (one for one in fleet.rounds() if one["at"] > since):
            told = [(node, one) for node in fleet.nodes for one in list(node.said) if is_round(one, line["quorum"])]
            if len({one["seat"] for _, one in told}) == line["members"]:
                seats = {one["seat"]: node for node, one in told}
                return line["quorum"], [seats[seat] for seat in sorted(seats)]
        time.sleep(0.05)  # the pace of looking
    raise HangError(f"no quorum trained a round in {FIRST_SECONDS:.0f} s")


def is_round(line: Said, quorum: str) -> bool:
    """Whether a line tells of a round trained in a quorum."""
    return "root" in line and line["quorum"] == quorum


def in_batch(node: Node, quorum: str) -> None:
    """Wait until the node is past the third step of a round that it has not finished. Raises HangError, at once where
    the quorum fails before that."""
    since = max(line["at"] for line in node.said if is_round(line, quorum))
    ended = node.next(
        lambda line: line.get("quorum") == quorum and (line.get("step") == 2 or "failed" in line), 60, since
    )
    if "failed" in ended:
        raise HangError(f"the quorum failed before it was disturbed: {ended['failed']}")


def any_in_batch(fleet: Fleet, seat: int, tries: int = 4) -> tuple[str, list[Node]]:
    """As `first_round`, with the member of a seat in a batch: of the quorum that comes next where one fails by itself,
    as it may on a machine whose processes wait for each other. Raises HangError."""
    since = 0.0
    for left in reversed(range(tries)):
        quorum, members = first_round(fleet, since)
        try:
            in_batch(members[seat], quorum)
            break
        except HangError:
            if not left:
                raise
            since = time.monotonic()
    return quorum, members


def successor(nodes: list[Node], old: str, since: float, limit: float) -> tuple[float, str]:
    """Seconds from `since` until all nodes have trained a round in one other quorum, and its id. Raises HangError."""
    first = nodes[0].next(lambda line: "root" in line and line["quorum"] != old, limit, since)
    lines = [node.next(lambda line: is_round(line, first["quorum"]), limit, since) for node in nodes]
    return max(line["at"] for line in lines) - since, first["quorum"]


def agreed(fleet: Fleet) -> Report:
    """What must hold of all rounds told: the roots of one undisturbed process, and one root and trace a leader and
    round, so that no claim could be made twice."""
    told: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for line in fleet.rounds():
        told.setdefault((line["leader"], line["round"]), set()).add((line["root"], line["trace"]))
    model, steps = MODELS[fleet.options.preset], fleet.options.steps
    true = {key: alone(model, key[1], bytes.fromhex(key[0]), steps).hex() for key in told}
    right = all({root for root, _ in found} == {true[key]} for key, found in told.items())
    whole = [line for line in fleet.rounds() if line.get("whole", line["root"]) != line["root"]]
    return {
        "rounds": len(told),
        "roots_of_one_process": right and not whole,
        "no_double_claim": all(len(found) == 1 for found in told.values()),
    }


def verdict(recovery: float, limit: float, found: Report, **more: object) -> Report:
    """A case's report; `ok` if every true-or-false of it is true and it took no longer than it may."""
    report: Report = {"recovery_s": round(recovery, 1), "limit_s": limit, **found, **more}
    flags = [value for value in report.values() if isinstance(value, bool)]
    return {"ok": recovery <= limit and all(flags), **report}


def options(**changes: Any) -> Options:
    """Of a fleet that trains until it is disturbed."""
    return Options(**{"steps": STEPS, "timeout": TIMEOUT, "more": ("--tell-steps",), **changes})


def member_killed(folder: Path) -> Report:
    """A member is killed in a batch; a spare node takes its part in the quorum that follows."""
    with Fleet(folder, options()) as fleet:
        fleet.start([*HOLDINGS, HOLDINGS[-1]])
        old, members = first_round(fleet)
        in_batch(members[-1], old)
        since = time.monotonic()
        members[-1].kill()
        left = [node for node in fleet.nodes if node is not members[-1]]
        recovery, _ = successor(left, old, since, LIMIT)
        return verdict(recovery, LIMIT, agreed(fleet), noticed_s=noticed(left, old, since))


def noticed(nodes: list[Node], old: str, since: float) -> float:
    """Seconds until the last member had given the quorum up."""
    told = [line["at"] for node in nodes for line in list(node.said) if line.get("quorum") == old and "failed" in line]
    return round(max(told, default=since) - since, 1)


def member_restarted(folder: Path) -> Report:
    """A member is killed in a batch and started again with its key and folder: it is in the quorum that follows."""
    with Fleet(folder, options()) as fleet:
        fleet.start(HOLDINGS)
        old, members = first_round(fleet)
        in_batch(members[1], old)
        peer, since = members[1].peer, time.monotonic()
        members[1].kill()
        members[1].start()
        members[1].ready()
        back = time.monotonic() - since
        recovery, _ = successor(members, old, since, LIMIT + back)
        found = agreed(fleet) | {"same_key": members[1].peer == peer}
        return verdict(recovery, LIMIT + round(back), found, started_s=round(back, 1))


def initiator_lost(folder: Path) -> Report:
    """The member that proposed the quorum and would post its claims is killed in a batch; another one follows it."""
    with Fleet(folder, options()) as fleet:
        fleet.start([HOLDINGS[0], *HOLDINGS])
        old, _ = first_round(fleet)
        leader = fleet.by_account(next(line["leader"] for line in fleet.rounds()))
        in_batch(leader, old)
        since = time.monotonic()
        leader.kill()
        left = [node for node in fleet.nodes if node is not leader]
        recovery, new = successor(left, old, since, LIMIT)
        heir = next(line["leader"] for line in fleet.rounds() if line["quorum"] == new)
        found = agreed(fleet) | {"another_leads": heir != leader.account}
        return verdict(recovery, LIMIT, found, noticed_s=noticed(left, old, since))


def peer_process_killed(folder: Path) -> Report:
    """A member's peer process is killed in a batch: it is started again, and the same quorum finishes the round."""
    limit = 3 * TIMEOUT + 30.0
    with Fleet(folder, options(timeout=30.0)) as fleet:
        fleet.start(HOLDINGS)
        old, members = first_round(fleet)
        in_batch(members[1], old)
        since = time.monotonic()
        os.kill(members[1].hello["peer_process"], signal.SIGKILL)
        lines = [node.next(lambda line: is_round(line, old), limit, since) for node in members]
        recovery = max(line["at"] for line in lines) - since
        return verdict(recovery, limit, agreed(fleet), same_quorum=all(line["quorum"] == old for line in lines))


@contextmanager
def slowed(node: Node, run: float, rest: float) -> Iterator[None]:
    """While the block runs, the process has the processor for `run` seconds, then not for `rest`, in turns."""
    over = threading.Event()

    def turn() -> None:
        while not over.wait(run):
            node.signal(signal.SIGSTOP)
            over.wait(rest)
            node.signal(signal.SIGCONT)

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def slow_member_replaced(folder: Path) -> Report:
    """A member becomes slower by a factor of 20; once it was so for as long as the rules wait, a spare one follows it.

    Rounds are short, because a quorum changes between two of them.
    """
    wait, limit = 5.0, 90.0
    with Fleet(folder, options(steps=3, timeout=PATIENT, more=("--tell-steps", "--measure"))) as fleet:
        fleet.start([*HOLDINGS, HOLDINGS[-1]])
        old, members = first_round(fleet)
        since = time.monotonic()
        with slowed(members[-1], 0.004, 0.076):
            left = [node for node in fleet.nodes if node is not members[-1]]
            recovery, new = successor(left, old, since, limit)
        ends = [line for node in members for line in node.said if line.get("quorum") == old and "failed" in line]
        replaced = members[-1] not in fleet.members(new)
        found = agreed(fleet) | {"replaced": replaced, "for_slowness": any("its tier" in one["failed"] for one in ends)}
        found |= {"why": sorted({one["failed"] for one in ends})}
        return verdict(recovery, limit, found, slow_for_s=wait)


CASES: Final[dict[str, Callable[[Path], Report]]] = {
    "member_killed_in_batch": member_killed,
    "member_restarted": member_restarted,
    "slow_member_replaced": slow_member_replaced,
    "initiator_lost": initiator_lost,
    "peer_process_killed": peer_process_killed,
}
