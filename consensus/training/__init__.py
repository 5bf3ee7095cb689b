"""The training step, its optimizer, the order of its batches and the outer step."""
