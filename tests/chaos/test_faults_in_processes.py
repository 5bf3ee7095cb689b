"""Faults that the long cases of `make chaos` leave to every test run: each in real processes, over real sockets."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bench.chaos import sync_faults
from bench.chaos.fleet import HOLDINGS, Fleet
from bench.chaos.quorum_faults import agreed, any_in_batch, is_round, options, successor

pytestmark = pytest.mark.process
PATIENCE = 300.0
"""Seconds, for a busy machine; what it may take is `make chaos`'s to say."""


def test_a_killed_peer_process_costs_no_quorum_and_a_restarted_member_is_in_the_next(tmp_path: Path) -> None:
    with Fleet(tmp_path, options(timeout=30.0, more=("--tell-steps", "--pace", "3"))) as fleet:
        fleet.start(HOLDINGS)
        old, members = any_in_batch(fleet, 1)
        since = time.monotonic()
        os.kill(members[1].hello["peer_process"], signal.SIGKILL)
        for node in members:
            assert node.next(lambda line: is_round(line, old), PATIENCE, since)["quorum"] == old
        peer, since = members[1].peer, time.monotonic()
        members[1].kill()
        members[1].start()
        members[1].ready()
        assert members[1].peer == peer
        _, new = successor(members, old, since, PATIENCE)
        assert new != old
        found = agreed(fleet)
        assert found["roots_of_one_process"]
        assert found["no_double_claim"]


def test_an_update_outlives_its_leader_once_it_was_given(tmp_path: Path) -> None:
    report = sync_faults.leader_gone(tmp_path)
    assert report["ok"], report
