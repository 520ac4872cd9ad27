"""Scans in the formats of surveyors, written by the libraries that define them."""

import numpy as np
import pytest


def las(path, table, point_format=6):
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=point_format, version="1.4")
    header.scales = [0.001] * 3
    data = laspy.LasData(header)
    for axis in "xyz":
        data[axis] = table[axis]
    data.intensity = table["intensity"].astype(np.uint16)
    data.classification = (table["ring"] % 32).astype(np.uint8)
    data.write(str(path))
    return path


def e57(path, table, num_scans=1, **more):
    pye57 = pytest.importorskip("pye57")
    columns = {f"cartesian{axis.upper()}": table[axis].astype(np.float64) for axis in "xyz"}
    columns["intensity"] = table["intensity"].astype(np.float32)
    columns |= more
    archive = pye57.E57(str(path), mode="w")
    turn, shift = np.array([0, 0, 0, 1.0]), np.array([5.0, 0, 0])
    for _ in range(num_scans):
        archive.write_scan_raw(columns, rotation=turn, translation=shift)
    archive.close()
    return path
