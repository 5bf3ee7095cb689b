"""Exact arithmetic: the ops, the kernels, and the choice among them."""

from consensus.arithmetic.choice import Verdict, choose_engine, set_threads, survey
from consensus.arithmetic.engine import Engine

__all__ = ["Engine", "Verdict", "choose_engine", "set_threads", "survey"]
