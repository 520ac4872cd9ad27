"""Points learn the teacher's feature of their pixel."""
