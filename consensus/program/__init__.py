"""The training step as a flat list of exact ops: captured from PyTorch, canonical, hashed, executable op by op."""

from consensus.program.capture import capture
from consensus.program.execute import execute
from consensus.program.ops import Kind, Op, Operand, Program
from consensus.program.step import step_program

__all__ = ["Kind", "Op", "Operand", "Program", "capture", "execute", "step_program"]
