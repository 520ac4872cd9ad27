"""Studies: many distillations that differ in one thing each, their probes and yardsticks."""
