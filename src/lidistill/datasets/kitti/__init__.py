"""KITTI: the raw recordings, and SemanticKITTI."""
