"""What a volunteer's machine says of its GPU, and what bounds a model there; no GPU is needed."""

from __future__ import annotations

import pytest
import torch

from consensus.arithmetic.reference import Reference
from consensus.model.config import PRESETS
from node import gpu
from node.volunteer import machine
from node.volunteer.errors import TooLargeError

PROCESSOR, CARD = Reference(), Reference(device=torch.device("cuda", 0))


def test_a_model_has_to_fit_into_the_share_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "device_room", lambda device: 1 << 20 if device.type == "cuda" else 0)
    with pytest.raises(TooLargeError, match="on the GPU") as refused:
        machine.require_memory(PRESETS["tiny"], CARD)
    assert "--gpu-memory" in refused.value.hint
    machine.require_memory(PRESETS["tiny"], PROCESSOR)
    monkeypatch.setattr(machine, "device_room", lambda _: 1 << 34)
    machine.require_memory(PRESETS["tiny"], CARD)


def test_the_notes_say_where_training_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "note", lambda: "")
    monkeypatch.setattr(machine, "_cuda", lambda: True)
    assert any("runs on the GPU" in line for line in machine.notes(CARD))
    assert any("stays idle" in line for line in machine.notes(PROCESSOR))
    monkeypatch.setattr(machine, "_cuda", lambda: False)
    monkeypatch.setattr(gpu, "note", lambda: "install its CUDA build")
    assert {"install its CUDA build"} < set(machine.notes(PROCESSOR))


@pytest.mark.parametrize(
    ("available", "present", "built", "triton", "said"),
    [
        (False, False, None, False, ""),
        (False, True, None, False, "built for processors only"),
        (False, True, "13.0", False, "check the driver"),
        (True, True, "13.0", True, ""),
        (True, True, "13.0", False, "Triton is not installed"),
    ],
)
def test_what_the_gpu_lacks(
    available: bool, present: bool, built: str | None, triton: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(gpu, "present", lambda: present)
    monkeypatch.setattr(gpu, "has_triton", lambda: triton)
    found = gpu.note()
    assert said in found
    assert bool(found) == bool(said)
