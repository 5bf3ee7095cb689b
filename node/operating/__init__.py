"""What an operator needs beside the node itself: backups, and a bundle to show others."""
