"""Runners: each is a process that times one program and prints the result as JSON.

A runner is started as `python -m benchmarks.peers.NAME TASK` with the task as JSON:
network, what (forward, frozen or step), batch_size, num_batches, burn_in. Its last line
of output has the seconds of each batch and package versions, or the reason why it does
not run. Other interpreters without this project's packages can run it too.
"""
