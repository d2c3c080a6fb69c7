"""Tasks: a config in, a result out. They join the libraries; they see no flags."""
