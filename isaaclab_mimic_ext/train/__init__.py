"""Training of policies with robomimic: a dataset and an agent's settings to checkpoints that evaluation loads."""
