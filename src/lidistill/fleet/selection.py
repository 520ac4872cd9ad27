"""Which frames to label next, from the features of their objects.

Shape letters: O objects, C channels, F frames that are chosen.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Strategy: TypeAlias = Literal["coverage", "typical", "uncertain", "even", "random"]

_NEIGHBORS: Final = 20  # of an object, by which it is typical
_BLOCK: Final = 4096  # rows compared at a time
_ROUNDS: Final = 20  # of k-means
_SAME: Final = 1e-6  # between vectors that differ by rounding alone


def by_coverage(vectors: NDArray[np.float32], frame: NDArray[np.integer], count: int) -> list[int]:
    """Frames so that no object is far from an object of a chosen one (greedy k-center).

    Begins with the frame of the object nearest to the mean; then, always, comes the frame of the
    object that is least like all objects of the frames so far.

    Args:
        vectors: (O, C) of length one.
        frame: (O,) number of the frame of each.
        count: F, at most the number of frames.

    References:
        Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018, algorithm 1, with all objects of a frame added at once.
    """
    nearest = np.full(len(vectors), -np.inf, np.float32)
    best = int(np.argmax(vectors @ vectors.mean(axis=0)))
    chosen: list[int] = []
    open_rows = np.ones(len(vectors), np.bool_)
    while len(chosen) < count and open_rows.any():
        number = int(frame[best])
        chosen.append(number)
        own = frame == number
        open_rows &= ~own
        for first in range(0, len(vectors), _BLOCK):
            rows = slice(first, first + _BLOCK)
            alike = (vectors[rows] @ vectors[own].T).max(axis=1)
            nearest[rows] = np.maximum(nearest[rows], alike)
        best = int(np.argmin(np.where(open_rows, nearest, np.inf)))
    return chosen


def by_typicality(
    vectors: NDArray[np.float32],
    frame: NDArray[np.integer],
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    """Frames of the most typical object of each of F clusters, the largest cluster first.

    Args:
        vectors: (O, C) of length one.
        frame: (O,) number of the frame of each.
        count: F, at most the number of frames.
        rng: For the clusters' beginning.

    References:
        Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High
        and Low Budgets", ICML 2022, section 3.
    """
    cluster = _clusters(vectors, count, rng)
    typical = np.zeros(len(vectors))
    members = [np.flatnonzero(cluster == number) for number in np.unique(cluster)]
    for own in members:
        typical[own] = _typicality(vectors[own])
    members.sort(key=len, reverse=True)
    chosen: list[int] = []
    ranked = [own[np.argsort(-typical[own], kind="stable")] for own in members]
    while len(chosen) < count and any(len(own) for own in ranked):
        for number, own in enumerate(ranked):
            left = own[~np.isin(frame[own], chosen)]
            if len(left) and len(chosen) < count:
                chosen.append(int(frame[left[0]]))
            ranked[number] = left[1:]
    return chosen


def _clusters(
    vectors: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """(O,) cluster of each, by k-means on the sphere; fewer where there are not so many kinds."""
    centers = vectors[[int(rng.integers(len(vectors)))]]
    while len(centers) < count:
        far = np.maximum(1 - (vectors @ centers.T).max(axis=1), 0).astype(np.float64)
        far[far < _SAME] = 0
        if not far.any():
            break
        next_one = vectors[[int(rng.choice(len(vectors), p=far / far.sum()))]]
        centers = np.concatenate([centers, next_one])
    cluster = np.zeros(len(vectors), np.intp)
    for _ in range(_ROUNDS):
        cluster = np.argmax(vectors @ centers.T, axis=1)
        total = np.zeros_like(centers)
        np.add.at(total, cluster, vectors)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        centers = np.where(length > 0, total / np.maximum(length, _SAME), centers)
    return cluster


def _typicality(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(O,) mean similarity to the nearest others."""
    found = np.zeros(len(vectors))
    neighbors = min(_NEIGHBORS, len(vectors) - 1)
    if neighbors < 1:
        return found
    for first in range(0, len(vectors), _BLOCK):
        alike = vectors[first : first + _BLOCK] @ vectors.T
        alike[np.arange(len(alike)), first + np.arange(len(alike))] = -np.inf
        found[first : first + _BLOCK] = np.partition(alike, -neighbors)[:, -neighbors:].mean(axis=1)
    return found


def by_uncertainty(
    confidence: NDArray[np.floating], frame: NDArray[np.integer], count: int
) -> list[int]:
    """Frames whose objects the network is least sure of, in the mean.

    Args:
        confidence: (O,) probability of the predicted class.
        frame: (O,) number of the frame of each.
        count: F.
    """
    numbers, inverse = np.unique(frame, return_inverse=True)
    doubt = np.bincount(inverse, weights=1 - confidence) / np.bincount(inverse)
    return [int(number) for number in numbers[np.argsort(-doubt, kind="stable")][:count]]


def evenly(frames: Sequence[int], count: int) -> list[int]:
    """Frames at even distances: the middle of each of F equal stretches."""
    places = (np.arange(count) + 0.5) * len(frames) / count
    return [frames[int(place)] for place in places]


def at_random(frames: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Frames by lot."""
    return [frames[int(place)] for place in rng.permutation(len(frames))[:count]]
