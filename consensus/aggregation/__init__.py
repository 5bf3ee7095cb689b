"""Robust rules that join the updates of a round, exactly: one rule a file, and the compression updates travel in."""

from consensus.aggregation.contributions import Columns, Contributions, Rule
from consensus.aggregation.krum import Krum
from consensus.aggregation.mean import Mean
from consensus.aggregation.median import Median
from consensus.aggregation.multi_krum import MultiKrum
from consensus.aggregation.neighbour_mixing import Mixed
from consensus.aggregation.trimmed_mean import TrimmedMean

__all__ = ["Columns", "Contributions", "Krum", "Mean", "Median", "Mixed", "MultiKrum", "Rule", "TrimmedMean"]
