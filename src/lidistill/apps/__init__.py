"""Complete workflows behind the commands: demo, compare, study, features and the like."""
