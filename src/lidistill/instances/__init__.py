"""Single objects out of points whose classes are known, or of points alone; nothing is trained."""
