"""In which order frames are read, and by whom."""
