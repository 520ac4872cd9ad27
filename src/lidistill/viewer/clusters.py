"""Groups of like features, found without labels.

Shape letters: M points, D dimensions, K clusters.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.viewer.spaces import unit_rows

NUM_CLUSTERS: Final = 16
_ROUNDS: Final = 25
_SAMPLED: Final = 20_000


def fit_clusters(codes_MD: NDArray[np.int8], num: int = NUM_CLUSTERS) -> NDArray[np.float32]:
    """(K, D) unit centres of groups of unit features: k-means by cosine, always with one result.

    The first centre is the first feature; each next one is the feature farthest from all before.

    Args:
        codes_MD: Stored features.
        num: K; fewer where there are fewer different features.

    References:
        I. S. Dhillon and D. S. Modha, "Concept decompositions for large sparse text data using
        clustering", Machine Learning 42, 2001, section 3.
    """
    unit = unit_rows(codes_MD[:: max(1, -(-len(codes_MD) // _SAMPLED))].astype(np.float32))
    centres = unit[:1]
    likeness = unit @ centres[0] if len(unit) else np.zeros(0)
    while len(centres) < num and len(unit) and likeness.min() < 1 - 1e-3:
        centres = np.concatenate([centres, unit[likeness.argmin()][None]])
        likeness = np.maximum(likeness, unit @ centres[-1])
    for _ in range(_ROUNDS):
        members = (unit @ centres.T).argmax(axis=1) if len(unit) else np.zeros(0, int)
        sums = np.zeros_like(centres)
        np.add.at(sums, members, unit)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
        if np.abs(moved - centres).max(initial=0) < 1e-5:
            break
        centres = moved.astype(np.float32)
    return centres


def nearest_cluster(
    codes_MD: NDArray[np.int8], centres_KD: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """(M,) number of the centre most like each feature."""
    if not len(codes_MD):
        return np.zeros(0, np.uint8)
    return np.asarray((codes_MD.astype(np.float32) @ centres_KD.T).argmax(axis=1).astype(np.uint8))
