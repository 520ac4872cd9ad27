"""What the depth test of ``samples/visibility.py`` finds, against the truth of the simulator.

    python benchmarks/visibility.py --frames 2
    python benchmarks/visibility.py --frames 2 --voxel-size 0.1 --mountings

Every scan point that falls into an image is a pair, and wrong where its pixel shows another object
than the point lies on: another class, or another car, person, tree. The test sees the scan alone;
with ``--voxel-size`` one point of each voxel, as a distillation does.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from lidistill.deploy.preprocess import first_of_voxels
from lidistill.geometry import invert_rigid
from lidistill.projection import project
from lidistill.samples.visibility import visible_points
from lidistill.sim.camera import look
from lidistill.sim.lidar import Scan
from lidistill.sim.plan import SimulationConfig, plan_drives
from lidistill.sim.recording import Recorder, recorder, view_of

FORMATS = ("pandaset", "nuscenes", "semantic_kitti")
MOUNTINGS = ((0.0, 0.0, 0.0), (0.0, 0.0, -0.5), (0.0, 0.0, 0.5), (-0.8, 0.0, 0.0))
"""Forward, left, up, metres from where the data set's vehicle has its lidars."""


def main() -> None:
    """Count pairs, wrong ones, and both among those that the test keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2, help="of each of four drives")
    parser.add_argument("--voxel-size", type=float, default=None, help="metres; else all points")
    parser.add_argument("--mountings", action="store_true", help="every data set, lidars moved")
    arguments = parser.parse_args()
    print("data set, lidar, offset, camera                    pairs  wrong  "
          "kept of right  wrong left  found of wrong")  # fmt: skip
    for form in FORMATS if arguments.mountings else FORMATS[:1]:
        for offset in MOUNTINGS if arguments.mountings else MOUNTINGS[:1]:
            config = SimulationConfig(
                format=form, frames=arguments.frames, train_drives=3, val_drives=1,
                image_size_hw=(540, 960) if form == "pandaset" else None, lidar_offset_m=offset,
            )  # fmt: skip
            counts = count(config, arguments.voxel_size)
            for lidar in dict.fromkeys(lidar for lidar, _ in counts):
                cameras = {camera: row for (name, camera), row in counts.items() if name == lidar}
                total = {"all": np.sum(list(cameras.values()), axis=0)}
                for camera, row in (total if arguments.mountings else cameras | total).items():
                    place = ", ".join(map("{:g}".format, offset))
                    report(f"{form}, {lidar}, ({place}), {camera}", row)


def count(config: SimulationConfig, voxel_size: float | None) -> dict[tuple[str, str], np.ndarray]:
    """Pairs, wrong ones, right ones kept and wrong ones kept, by lidar and camera."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for drive in plan_drives(config):
        vehicle = recorder(config, drive)
        for index in range(config.frames):
            for number, scan in enumerate(vehicle.scans(index)):
                lidar = vehicle.log.rig.lidars[number].name
                for camera, row in judged(vehicle, scan, index, (config.frame_rate, voxel_size)):
                    found[lidar, camera] = found.get((lidar, camera), 0) + row
    return found


def judged(
    vehicle: Recorder, scan: Scan, index: int, rates: tuple[float, float | None]
) -> Iterator[tuple[str, np.ndarray]]:
    """The four counts of each camera of one frame; frames a second and the size of voxels."""
    frame_rate, voxel_size = rates
    seen = slice(None) if voxel_size is None else first_of_voxels(scan.points, voxel_size)
    points, kind, instance = scan.points[seen], scan.kind[seen], scan.instance[seen]
    log = vehicle.log
    for camera in log.rig.cameras:
        time_s = index / frame_rate + camera.delay_s
        pose = vehicle.T_street_body(time_s) @ camera.T_body_camera
        world = vehicle.stage.seen(view_of(camera, pose, time_s))
        face = look(world, camera, pose).face
        T_world_camera = log.T_world_body_of[camera.name][index] @ camera.T_body_camera
        hit = project(
            points,
            K=camera.K,
            T_cam_lidar=invert_rigid(T_world_camera),
            size_hw=camera.size_hw,
            near_depth=0.1,
        )
        column, row = np.floor(hit.uv).astype(int).T
        there = face[row, column]
        shown = [np.append(x, 0)[there] for x in (world.label, world.instance)]
        wrong = (shown[0] != kind[hit.index]) | (shown[1] != instance[hit.index])
        kept = visible_points(hit.uv, hit.depth, camera.size_hw, focal_px=float(camera.K[1, 1]))
        counts = [len(wrong), wrong.sum(), (kept & ~wrong).sum(), (kept & wrong).sum()]
        yield camera.name, np.array(counts)


def report(name: str, counts: np.ndarray) -> None:
    """Print one row."""
    pairs, wrong, right_kept, wrong_kept = counts.tolist()
    if not wrong:
        print(f"{name:<48} {pairs:9,}")
        return
    print(
        f"{name:<48} {pairs:9,} {100 * wrong / pairs:5.1f}% "
        f"{100 * right_kept / (pairs - wrong):13.1f}% "
        f"{100 * wrong_kept / (right_kept + wrong_kept):10.1f}% "
        f"{100 * (1 - wrong_kept / wrong):14.1f}%"
    )


if __name__ == "__main__":
    main()
