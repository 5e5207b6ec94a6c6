"""Source demos: reading, subtask boundaries, and the pool of tensors that generation selects from."""
