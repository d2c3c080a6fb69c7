"""Programs that run another framework and import nothing of the project."""
