"""WaffleIron: its network, its inputs, and its fast paths."""
