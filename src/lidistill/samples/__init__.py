"""From a frame to the sample that networks see."""
