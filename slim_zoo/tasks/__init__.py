"""Tasks: functions that take a config and return a result. They do not read flags."""
