"""Who the processes of a run are, how they meet, and what they add up."""
