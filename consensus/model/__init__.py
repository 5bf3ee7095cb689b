"""The model: shapes, initial weights, forward and backward pass."""
