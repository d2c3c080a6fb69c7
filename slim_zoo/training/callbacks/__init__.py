"""What happens between the steps of a run: the callbacks of the loop."""
