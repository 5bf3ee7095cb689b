"""What an auditor recomputes, and how a difference is named."""

from consensus.dispute.audit import Difference, Segment, draw_segments, first_difference

__all__ = ["Difference", "Segment", "draw_segments", "first_difference"]
