"""Fast operations on points, each with a plain PyTorch twin."""
