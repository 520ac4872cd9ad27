"""nuScenes with lidarseg."""
