"""The dashboard of a node: its pages, and a read-only interface to what a running node writes (docs/DASHBOARD.md)."""
