"""What the node remembers: its database, checkpoints and the file operations both rest on."""
