"""Training machinery that knows nothing about lidar: loop, schedules, checkpoints, tracking."""
