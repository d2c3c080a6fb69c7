"""The commands: flags, help texts and exit codes. The libraries do not see flags."""
