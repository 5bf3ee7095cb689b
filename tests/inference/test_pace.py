"""The number of threads follows the clock, and only where it can matter."""

from __future__ import annotations

from consensus.inference.pace import PROBE, SMALL_WORK, Pace


class Machine:
    """Steps that take as long as it says for each number of threads."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {int(name[1:]): value for name, value in seconds.items()}
        self.now, self.taken = 0.0, []

    def step(self, threads: int) -> None:
        self.taken.append(threads)
        self.now += self.seconds[threads]

    def run(self, pace: Pace, steps: int, work: int = SMALL_WORK) -> list[int]:
        self.taken = []
        for _ in range(steps):
            pace.run(8, work, self.step)
        return self.taken


def test_the_faster_number_is_taken_and_the_other_tried_now_and_then() -> None:
    machine = Machine(t1=1.0, t2=3.0)
    pace = Pace(2, lambda: machine.now)
    taken = machine.run(pace, 4 * PROBE)
    assert taken[0] == 2
    assert taken.count(2) <= 5
    machine.seconds = {1: 3.0, 2: 1.0}
    assert machine.run(pace, 4 * PROBE)[-PROBE // 2 :].count(2) >= PROBE // 2 - 1


def test_small_steps_take_one_thread_and_without_a_clock_size_decides() -> None:
    machine = Machine(t1=1.0, t4=1.0)
    assert set(machine.run(Pace(4, lambda: machine.now), 9, SMALL_WORK - 1)) == {1}
    assert set(machine.run(Pace(4, None), 9)) == {4}
    assert set(machine.run(Pace(1, lambda: machine.now), 9)) == {1}
