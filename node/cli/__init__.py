"""The `ponw` command, one verb a file."""
