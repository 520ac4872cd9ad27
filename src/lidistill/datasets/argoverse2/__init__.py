"""Argoverse 2, its sensor data set."""
