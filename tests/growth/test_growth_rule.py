"""From what the network has to a growth or none: thresholds, grace, extensions, abort, and what a round then runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import GrowthError, VocabularyError
from consensus.model.config import ModelConfig
from consensus.training.growth import Growth
from consensus.training.resize import Change
from economics.constants import GROWTH_GRACE, GROWTH_STEPS
from economics.units import Seconds, Steps
from governance.activation import Deeper, Era, History
from governance.announcement import Announcement
from governance.growth import (
    Course,
    Event,
    Member,
    Observation,
    Turn,
    addable,
    advance,
    memory_factor,
    missing,
    obstacles,
    replicas,
)

SIX = frozenset(range(6))
NINE = frozenset(range(9))
START = Course(6)
TEN = Seconds(GROWTH_GRACE)


def network(
    time: int, *held: frozenset[int], memory: int = 600, tier: int = 2, steps: int = GROWTH_STEPS
) -> Observation:
    """Nodes that hold these layers, over a model whose layers and rest take 100 bytes each."""
    members = tuple(Member(tier, memory, layers) for layers in held)
    return Observation(Seconds(time), Steps(steps), members, 100, 100)


def course_of(*observations: Observation) -> tuple[Course, list[Event]]:
    course, events = START, []
    for seen in observations:
        course, event = advance(course, seen)
        events += [event] if event else []
    return course, events


@given(st.integers(1, 100_000))
def test_the_memory_factor_is_the_rule_rounded_down(nodes: int) -> None:
    exact = 15_000 + 1_000 * log2(nodes)
    assert exact - 1.001 < memory_factor(nodes) <= exact + 0.001
    assert memory_factor(nodes) <= memory_factor(nodes + 1)


def test_replicas_by_size_of_the_network() -> None:
    assert [replicas(nodes) for nodes in (1, 4, 5, 19, 20, 1000)] == [1, 1, 2, 2, 3, 3]


def test_three_nodes_with_memory_to_spare_announce_three_layers() -> None:
    course, (event,) = course_of(network(1_000, SIX, SIX, SIX))
    assert (event.turn, event.growth) == (Turn.ANNOUNCED, Announcement(1, 0, 6, 9, Seconds(1_000)))
    assert event.reason == "1800 bytes on 3 nodes carry 3 more layers; every layer has its 1"
    assert course.plan is not None
    assert course.plan.deadline == 1_000 + TEN


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (network(0, SIX, SIX, SIX, steps=9_999), "9999 steps since the last upgrade or attempt, of 10000"),
        (network(0, SIX, SIX, memory=559), "1118 bytes of memory, of 1120 for a model of 700 on 2 nodes"),
        (network(0, SIX, SIX, memory=560), "memory for 0 more layers, of at least 3"),
        (network(0, SIX, SIX, memory=799), "memory for 2 more layers, of at least 3"),
        (network(0, SIX - {4}, SIX - {4}, memory=900), "layer 4 has 0 holders of 1"),
        (network(0, SIX, *[SIX - {0}] * 4, memory=900), "layer 0 has 1 holders of 2"),
        (network(0), "no node is there"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_announced(seen: Observation, words: str) -> None:
    assert obstacles(START, seen) == [words]
    assert advance(START, seen) == (replace(START, time=seen.time), None)


def test_no_growth_outweighs_what_is_trained() -> None:
    rich = network(0, SIX, SIX, memory=10**9)
    assert [addable(Course(layers), rich) for layers in (1, 2, 6, 7, 12, 40)] == [3, 3, 3, 3, 6, 20]


@given(st.integers(1, 60), st.integers(0, 4_000), st.integers(1, 60))
def test_the_memory_carries_what_is_added(nodes: int, memory: int, layers: int) -> None:
    seen = network(0, *[SIX] * nodes, memory=memory)
    added = addable(Course(layers), seen)
    needed = Fraction(100 + (layers + added) * 100) * memory_factor(nodes) / 10_000
    assert added == 0 or needed <= seen.memory


def test_layers_with_their_holders_are_activated_after_the_grace_and_not_before() -> None:
    plan = network(0, SIX, SIX, SIX)
    course, events = course_of(plan, network(TEN - 1, NINE, SIX, SIX))
    assert [event.turn for event in events] == [Turn.ANNOUNCED]
    course, event = advance(course, network(TEN, NINE, SIX, SIX, steps=10_050))
    assert event is not None
    assert (event.turn, event.reason) == (Turn.ACTIVATED, "layers 6 to 8 have their 1 holders")
    assert course == Course(9, 1, Steps(10_050), 1, TEN)
    assert advance(course, network(TEN, NINE, NINE, NINE, memory=10**6, steps=20_049))[1] is None
    again = advance(course, network(TEN, NINE, NINE, NINE, memory=10**6, steps=20_050))[1]
    assert again is not None
    assert (again.growth.number, again.growth.parent, again.growth.after) == (2, 1, 13)


def test_a_new_layer_needs_a_fast_holder_and_all_its_replicas() -> None:
    course, _ = course_of(network(0, SIX, SIX, SIX))
    assert course.plan is not None
    slow = "layer {} has no holder of tier 3 or faster"
    assert missing(course.plan, network(0, NINE, NINE, NINE, tier=4)) == [slow.format(i) for i in (6, 7, 8)]
    assert missing(course.plan, network(0, NINE, SIX, SIX, tier=3)) == []
    assert missing(course.plan, network(0, NINE - {7}, SIX, SIX)) == ["layer 7 has 0 holders of 1"]
    assert missing(course.plan, network(0, NINE, *[SIX] * 4)) == [f"layer {i} has 1 holders of 2" for i in (6, 7, 8)]
    mixed = replace(network(0), members=(Member(5, 1, NINE), Member(1, 1, NINE)))
    assert missing(course.plan, mixed) == []


def test_three_extensions_with_a_rising_bonus_then_an_abort_that_changes_nothing() -> None:
    course, _ = course_of(network(0, SIX, SIX, SIX))
    turns, bonuses = [], []
    for number in range(1, 5):
        assert course.plan is not None
        bonuses.append(course.plan.bonus)
        assert course.plan.deadline == number * TEN
        course, event = advance(course, network(number * TEN, NINE - {8}, SIX, SIX, steps=10_100))
        assert event is not None
        turns.append(event.turn)
        assert event.reason.endswith("layer 8 has 0 holders of 1")
    assert turns == [Turn.EXTENDED] * 3 + [Turn.ABORTED]
    assert bonuses == [10_000, 15_000, 20_000, 25_000]
    assert course == Course(6, 0, Steps(10_100), 1, Seconds(4 * TEN)), "as before, but the next attempt has to wait"
    assert advance(course, network(4 * TEN, SIX, SIX, SIX, steps=20_099))[1] is None
    again = advance(course, network(4 * TEN, SIX, SIX, SIX, steps=20_100))[1]
    assert again is not None
    assert again.growth.number == 2


def test_holders_that_come_during_an_extension_are_enough() -> None:
    late = [network(TEN, SIX, SIX, SIX), network(2 * TEN, SIX, SIX, SIX), network(3 * TEN, SIX, NINE, SIX)]
    course, events = course_of(network(0, SIX, SIX, SIX), *late)
    assert [event.turn for event in events] == [Turn.ANNOUNCED, Turn.EXTENDED, Turn.EXTENDED, Turn.ACTIVATED]
    assert course.layers == 9


def test_a_node_that_saw_nothing_for_long_gives_the_whole_extension() -> None:
    course, _ = course_of(network(0, SIX, SIX, SIX), network(10 * TEN, SIX, SIX, SIX))
    assert course.plan is not None
    assert (course.plan.extensions, course.plan.deadline) == (1, 11 * TEN)


OBSERVATIONS = st.lists(
    st.tuples(
        st.integers(0, TEN), st.integers(0, 4_000), st.lists(st.sampled_from([SIX, NINE, NINE - {7}]), max_size=6)
    ),
    max_size=12,
)


@given(OBSERVATIONS)
def test_the_same_observations_give_the_same_course_and_layers_only_by_activation(
    drawn: list[tuple[int, int, list[frozenset[int]]]],
) -> None:
    time, steps, course, twin = 0, 9_000, START, START
    layers, announced = 6, 0
    for passed, trained, held in drawn:
        time, steps = time + passed, steps + trained
        seen = network(time, *held, memory=2_000, steps=steps)
        course, event = advance(course, seen)
        twin, _ = advance(twin, replace(seen, members=tuple(reversed(seen.members))))
        assert (course, course.digest()) == (twin, twin.digest())
        announced += event is not None and event.turn is Turn.ANNOUNCED
        if event is not None and event.turn is Turn.ACTIVATED:
            layers = event.growth.after
        assert (course.layers, course.attempts) == (layers, announced)
        assert course.plan is None or course.plan.extensions <= 3


def test_a_digest_tells_courses_apart() -> None:
    planned, _ = course_of(network(0, SIX, SIX, SIX))
    extended, _ = course_of(network(0, SIX, SIX, SIX), network(TEN, SIX, SIX, SIX))
    other, _ = course_of(network(1, SIX, SIX, SIX))
    assert len({course.digest() for course in (START, planned, extended, other, Course(7), Course(6, 1))}) == 6


def test_observations_that_run_backwards_or_are_none_are_refused() -> None:
    course, _ = course_of(network(5, SIX, SIX, SIX))
    with pytest.raises(GrowthError, match="comes after"):
        advance(course, network(4, SIX, SIX, SIX))
    with pytest.raises(GrowthError):
        network(-1)
    with pytest.raises(GrowthError):
        replace(network(0), layer_bytes=0)
    with pytest.raises(GrowthError):
        memory_factor(0)


@pytest.mark.parametrize(
    "wrong", [(1, 0, 6, 6, 0), (1, 0, 0, 3, 0), (1, 0, 6, 1000, 0), (2**32, 0, 6, 9, 0), (1, 0, 6, 9, -1)]
)
def test_an_announcement_that_is_none_is_refused(wrong: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(GrowthError):
        Announcement(*wrong[:4], Seconds(wrong[4]))


CONFIG = ModelConfig("deep", layers=6, width=16, heads=2, seq_len=32, batch=4)
GROWTH = Announcement(1, 0, 6, 9, Seconds(5))


@dataclass(frozen=True)
class Place:
    """Where a network is among its versions, round by round."""

    history: History
    current: int = 0
    target: int = 0
    young: int = 0

    @property
    def era(self) -> Era:
        return self.history.era(CONFIG, self.current, self.target, self.young)

    def after(self, stepped: bool = True) -> Place:
        young = self.history.youth(self.current, self.target, self.young, stepped)
        return replace(self, current=self.target if stepped else self.current, young=young)


def deeper(growth: Announcement = GROWTH, round_steps: int = 400) -> Deeper:
    return Deeper(growth, Steps(round_steps))


def deepened() -> History:
    """Version 1 is a growth."""
    history = History()
    history.deepen(1, 0, deeper())
    return history


def test_a_growth_takes_effect_with_the_next_outer_step_and_ages_from_there() -> None:
    assert Place(History()).era == Era(0, 0, CONFIG)
    last = Place(deepened(), target=1)
    assert (last.era.config, last.era.change) == (CONFIG, Growth(CONFIG, 9, GROWTH.hash()))
    assert last.after(stepped=False) == last, "without an outer step the next round is the transition"
    ages, now = [], last.after()
    assert last.era.after == now.era.config
    while now.young:
        ages.append(now.era.config.age)
        assert (now.current, now.era.config.layers, now.era.change) == (1, 9, None)
        assert now.after(stepped=False) == now
        older = now.era.config.older(400)
        now = now.after()
        assert now.era.config == older, "as the architecture itself counts its age"
    assert ages == [0, 400, 800]
    assert now.era.config == replace(CONFIG, layers=9)
    assert now.after() == now


@pytest.mark.parametrize("young", [3, 2, 1, 0])
def test_a_growth_is_taken_back_at_any_age(young: int) -> None:
    back = Place(deepened(), 1, 0, young)
    config = back.era.config
    assert config.age == (400 * (3 - young) if young else 0)
    assert back.era.change == Growth(config, 6)
    assert back.era.after == CONFIG
    assert back.after().era == Era(0, 0, CONFIG)
    assert back.after(stepped=False) == back


def test_a_growth_after_a_change_of_the_vocabulary_and_one_after_it() -> None:
    history, growth = History(), replace(GROWTH, parent=1)
    history.add(1, 0, ((116, 104),))
    words = Place(history, 0, 1)
    assert isinstance(words.era.change, Change)
    history.deepen(2, 1, deeper(growth))
    wider = replace(CONFIG, vocab=CONFIG.vocab + 1)
    grows = replace(words.after(), target=2)
    assert (grows.era.config, grows.era.change) == (wider, Growth(wider, 9, growth.hash()))
    assert grows.after().era.config == replace(wider, layers=9, young=3)
    assert (history[2].root, history.worded(2).number) == (history[1].root, 1), "a growth changes no text"
    history.add(3, 2, ((104, 101),))
    more = Place(history, 2, 3)
    assert more.era.after == replace(wider, layers=9, vocab=wider.vocab + 1)
    assert replace(more.after(), target=2).after().era.config == replace(wider, layers=9), "grown up, not young again"


def test_a_growth_from_elsewhere_is_refused() -> None:
    with pytest.raises(VocabularyError):
        History().deepen(1, 0, deeper(replace(GROWTH, parent=1)))
    with pytest.raises(VocabularyError):
        History().deepen(2, 0, deeper())
    history = History()
    history.deepen(1, 0, deeper(replace(GROWTH, before=5)))
    with pytest.raises(VocabularyError):
        history.era(CONFIG, 0, 1)
    with pytest.raises(VocabularyError):
        deepened().era(CONFIG, 1, 1, young=4)
    twice = deepened()
    twice.deepen(2, 1, deeper(Announcement(2, 1, 9, 12, Seconds(9))))
    with pytest.raises(VocabularyError):
        twice.era(CONFIG, 1, 2, young=1)
    assert twice.era(CONFIG, 1, 2).after.layers == 12
