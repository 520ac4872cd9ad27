"""What the depth test of ``samples/visibility.py`` finds, against the truth of the simulator.

    python benchmarks/visibility.py --frames 2

Every scan point that falls into an image is a pair, and wrong where its pixel shows another object
than the point lies on: another class, or another car, person, tree. The test sees the scan alone.
"""

import argparse

import numpy as np

from lidistill.geometry import invert_rigid
from lidistill.projection import project
from lidistill.samples.visibility import visible_points
from lidistill.sim.camera import look
from lidistill.sim.plan import SimulationConfig, plan_drives
from lidistill.sim.recording import recorder, view_of


def main() -> None:
    """Count pairs, wrong ones, and both among those that the test keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2, help="of each of four drives")
    config = SimulationConfig(
        frames=parser.parse_args().frames, train_drives=3, val_drives=1, image_size_hw=(540, 960)
    )
    print("camera               pairs  wrong  kept of right  wrong left  found of wrong")
    counts: dict[str, list[np.ndarray]] = {}
    for drive in plan_drives(config):
        vehicle = recorder(config, drive)
        for index in range(config.frames):
            (scan, *_), log = vehicle.scans(index), vehicle.log
            for camera in log.rig.cameras:
                time_s = index / config.frame_rate + camera.delay_s
                pose = vehicle.T_street_body(time_s) @ camera.T_body_camera
                world = vehicle.stage.seen(view_of(camera, pose, time_s))
                face = look(world, camera, pose).face
                T_world_camera = log.T_world_body_of[camera.name][index] @ camera.T_body_camera
                hit = project(
                    scan.points,
                    K=camera.K,
                    T_cam_lidar=invert_rigid(T_world_camera),
                    size_hw=camera.size_hw,
                    near_depth=0.1,
                )
                column, row = np.floor(hit.uv).astype(int).T
                there = face[row, column]
                kind, thing = (np.append(x, 0)[there] for x in (world.label, world.instance))
                wrong = (kind != scan.kind[hit.index]) | (thing != scan.instance[hit.index])
                kept = visible_points(
                    hit.uv, hit.depth, camera.size_hw, focal_px=float(camera.K[1, 1])
                )
                found = [len(wrong), wrong.sum(), (kept & ~wrong).sum(), (kept & wrong).sum()]
                counts.setdefault(camera.name, []).append(np.array(found))
    total = {name: np.sum(rows, axis=0) for name, rows in counts.items()}
    for name, row in (total | {"all": np.sum(list(total.values()), axis=0)}).items():
        pairs, wrong, right_kept, wrong_kept = row.tolist()
        print(
            f"{name:<18} {pairs:7,} {100 * wrong / pairs:5.1f}% "
            f"{100 * right_kept / (pairs - wrong):13.1f}% "
            f"{100 * wrong_kept / (right_kept + wrong_kept):10.1f}% "
            f"{100 * (1 - wrong_kept / wrong):14.1f}%"
        )


if __name__ == "__main__":
    main()
