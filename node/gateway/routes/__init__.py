"""The routes below /api/v1, a file for each subject, and those outside."""
