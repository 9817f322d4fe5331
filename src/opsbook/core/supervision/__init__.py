"""Starting, watching and stopping the processes that `opsbook up` is made of."""
