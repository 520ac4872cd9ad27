"""Figures as arrays: colours, points drawn on a camera image, a cloud from above."""
