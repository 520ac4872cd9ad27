"""What users come for: distil, probe, evaluate. Data, teachers and backbones meet here."""
