"""The node: one process that trains, audits, claims and is paid."""
