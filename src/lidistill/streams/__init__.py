"""Scans one after the other, from a recording or as they are measured, and how long each takes."""
