"""How well numbers tell some points from others."""

import numpy as np
from scipy.stats import rankdata


def area_under_curve(values, positive) -> float:
    """Chance that a positive point has a larger value than another one (ties count half)."""
    values, positive = np.asarray(values, dtype=float), np.asarray(positive, dtype=bool)
    known = np.isfinite(values)
    ranks = rankdata(values[known])
    wanted = positive[known]
    hits = ranks[wanted].sum() - wanted.sum() * (wanted.sum() + 1) / 2
    return float(hits / (wanted.sum() * (~wanted).sum()))
