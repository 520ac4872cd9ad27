"""Figures as arrays: colours, points drawn on a photograph, a cloud from above."""
