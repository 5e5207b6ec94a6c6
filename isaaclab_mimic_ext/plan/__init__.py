"""The plan of each trial: source demo selection, transforms, constraints, noise and transits, batched over environments."""
