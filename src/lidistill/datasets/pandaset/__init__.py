"""PandaSet."""
