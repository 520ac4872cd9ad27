"""What is on disk, and what looks wrong with it."""
