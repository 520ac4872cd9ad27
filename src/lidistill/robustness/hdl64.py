"""How the lasers of an HDL-64E are focused; snow's intensities are those of this lidar.

The published sets take these numbers from the calibration of one HDL-64E S3, which is not at hand.
They are recovered from its traces: for each laser the pair that best explains the intensities that
the published snow gives weakened points of two scans. For the upper half of the lasers 98 to 100 %
of those points come out to the whole number, for the lowest, which see little, 81 to 97 %.
"""

import numpy as np

from lidistill.robustness.scan import Float64

FOCAL_DISTANCE: Float64 = np.array([
    8, 12.5, 24, 24, 18, 24, 13, 24, 23.5, 19.5, 6.5, 21, 24, 24, 14, 24,
    24, 24, 24, 24, 24, 24, 24, 24, 11, 21, 24, 24, 24, 24, 24, 24,
    12, 0.25, 11.5, 9.5, 10, 9.5, 9, 0.75, 0.25, 12, 0.5, 8, 9.5, 9, 11.5, 0.5,
    15, 11.5, 10, 15.5, 8.5, 13.5, 6.5, 12, 9.5, 0.5, 10.5, 2, 5, 0.25, 10, 10,
])  # fmt: skip
"""(64,) metres, from the uppermost laser down."""

FOCAL_SLOPE: Float64 = np.array([
    0.95, 1, 0.7, 0.75, 0.5, 0.75, 2, 0.75, 0.4, 0.6, 1.2, 1.1, 0.7, 0.85, 1.2, 0.75,
    0.65, 0.8, 0.7, 0.75, 0.65, 0.75, 0.7, 0.7, 1.35, 0.65, 1.2, 1, 0.6, 0.65, 0.8, 0.75,
    2, 0.95, 0.4, 1.45, 1.55, 1.45, 1.3, 1.05, 0.8, 1.95, 1.1, 1.4, 1.45, 0.45, 2, 0.8,
    0.45, 1.7, 1.5, 0.35, 0.4, 1.3, 0.35, 1.45, 1.35, 0.6, 1.5, 0.85, 0.45, 0.4, 1.1, 1.1,
])  # fmt: skip
"""(64,) over intensities of 0 to 1."""

TOP_INTENSITY: Float64 = np.full(64, 255.0)
TOP_INTENSITY[[53, 55, 56, 58]] = 230.0
