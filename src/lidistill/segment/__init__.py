"""Classes from features: probes, fine-tuning, scores."""
