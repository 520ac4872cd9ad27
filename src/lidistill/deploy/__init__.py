"""From a finished run to what others can use: model folders, the hub, networks for robots."""
