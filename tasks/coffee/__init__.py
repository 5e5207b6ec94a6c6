"""Coffee: a Franka puts a pod into the holder of a coffee machine, and closes the lid."""
