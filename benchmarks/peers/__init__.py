"""One runner a peer: a process that times one thing and prints it as a line of JSON.

A runner is started as `python -m benchmarks.peers.NAME TASK` with the task as JSON:
network, what (forward, frozen or step), batch_size, num_batches, burn_in. Its last line
of output has the seconds of each batch and the releases it ran on, or why it does not
run. Runners may be started by an interpreter that has none of this project's packages.
"""
