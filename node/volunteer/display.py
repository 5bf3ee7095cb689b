"""The volunteer's terminal: what the DRAGON tab shows, redrawn as it changes; lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node.volunteer.panel_schemas import BatchProgress, Limits, LogLine, PanelState

_LOG_ROWS: Final = 8
_COLOURS: Final = {"info": "default", "good": "green", "warning": "yellow", "error": "red"}
_PHASES: Final = {"training": "green", "finishing": "green", "uploading": "cyan", "downloading": "cyan"}


def draw(now: PanelState) -> RenderableType:
    """The whole tab."""
    parts = [_head(now), _machine(now), _batch(now), _buttons(now), _log(now.log)]
    return Panel(Group(*parts), title="ponw volunteer", subtitle=now.gateway)


def status(now: PanelState) -> str:
    """The state in words."""
    return now.phase.upper() + (f" ({now.reason})" if now.reason else "") + ("" if now.connected else " (offline)")


def contribution(now: PanelState) -> str:
    """What this volunteer has given, as the gateway counts it."""
    if now.worker is None:
        return "-"
    badges = "".join(f" [{badge}]" for badge in now.worker.badges)
    return f"{now.worker.batches:,} batches ({_short(now.worker.tokens)} tokens), rank {now.worker.rank}{badges}"


def network(now: PanelState) -> str:
    """The whole network."""
    if now.network is None:
        return "-"
    speed = f"{now.network.tokens_per_s:,.0f} tokens/s"
    return f"{now.network.active_workers:,} active workers, {_short(now.network.tokens)} tokens processed, {speed}"


def model(now: PanelState) -> str:
    """The version that is trained."""
    if now.model is None:
        return (now.network.version if now.network else None) or "-"
    return f"{now.model.architecture.name}, {_short(now.model.num_parameters)} parameters ({now.model.version})"


def limits(value: Limits) -> str:
    """The limits in force."""
    parts = [f"threads {value.cpu_threads or 'all'}", f"CPU {value.cpu_share:.0%}", f"GPU {value.gpu_memory_share:.0%}"]
    parts += [f"hours {value.hours}"] if value.hours else []
    parts += ["not on battery"] if value.pause_on_battery else []
    parts += [f"{value.max_batches} batches"] if value.max_batches else []
    parts += [f"{value.max_samples} samples a batch"] if value.max_samples else []
    return ", ".join(parts)


def _head(now: PanelState) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    colour = _PHASES.get(now.phase, "yellow")
    table.add_row("Status:", Text("● " + status(now), colour))
    table.add_row("Global model:", model(now))
    who = f"{now.username}: " if now.username else ""
    table.add_row("Your contribution:", Text(who + contribution(now)))
    table.add_row("Network stats:", network(now))
    return table


def _machine(now: PanelState) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row("Limits:", limits(now.limits))
    table.add_row("Machine:", Text(f"{now.hardware.cpu}, {now.hardware.threads} threads, {now.hardware.kernel}"))
    for note in now.machine_notes:
        table.add_row("", Text(note, "dim"))
    return Panel(table, title="Resource allocation", title_align="left")


def _batch(now: PanelState) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    batch = now.batch
    if now.transfer is not None:
        moved = now.transfer
        done = f"{moved.done / 1e6:.1f} of {moved.size / 1e6:.1f} MB"
        table.add_row(f"{'Downloading' if moved.direction == 'down' else 'Uploading'} {moved.name}:", done)
    if batch is None:
        table.add_row("Current batch:", "none")
    else:
        table.add_row("Current batch:", f"{batch.step}/{batch.steps} ({batch.step / max(batch.steps, 1):.0%})")
        table.add_row("", ProgressBar(total=max(batch.steps, 1), completed=batch.step, width=40))
        table.add_row("Tokens processed:", f"{batch.tokens:,}")
        table.add_row("Loss:", "-" if batch.loss is None else f"{batch.loss:.4f}")
        table.add_row("Speed:", _speed(batch))
    return Panel(table, title="Training progress", title_align="left")


def _buttons(now: PanelState) -> RenderableType:
    return Text(f"wish: {now.wish}    Ctrl-C: finish this batch, then stop; twice: stop now", "dim", justify="center")


def _log(lines: list[LogLine]) -> RenderableType:
    shown = [Text(line_text(line), _COLOURS[line.level], no_wrap=True, overflow="ellipsis") for line in lines]
    return Panel(Group(*shown[-_LOG_ROWS:]), title="Activity log", title_align="left")


def _speed(batch: BatchProgress) -> str:
    left = "" if batch.seconds_left is None else f", {batch.seconds_left:,.0f} s left"
    return f"{batch.tokens_per_s:,.0f} tokens/s{left}"


def line_text(line: LogLine) -> str:
    """A line of the log with its time."""
    return f"[{time.strftime('%H:%M:%S', time.localtime(line.at))}] {line.text}"


def _short(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


class Lines:
    """Log lines as they come, and a line of progress now and then, for pipes and journals."""

    def __init__(self, say: Callable[[str], None], every: float = 10.0) -> None:
        self._say, self._every = say, every
        self._seen = 0.0
        self._at = float("-inf")
        self._step: tuple[str, int] = ("", 0)

    def show(self, lines: list[LogLine], now: PanelState) -> None:
        """Say what is new."""
        for line in lines:
            self._say(line_text(line))
        batch = now.batch
        if batch is None or batch.loss is None or now.at - self._at < self._every:
            return
        if (batch.batch_id, batch.step) != self._step:
            self._step, self._at = (batch.batch_id, batch.step), now.at
            at = time.strftime("%H:%M:%S", time.localtime(now.at))
            self._say(f"[{at}] step {batch.step}/{batch.steps} loss {batch.loss:.4f} {_speed(batch)}")
