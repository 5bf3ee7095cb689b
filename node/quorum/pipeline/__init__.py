"""A member's part of pipeline training: links to its neighbours, steps, and sessions that survive a member's loss."""
