"""Stack cube: a Franka stacks three cubes, as in Isaac Lab's task of the same name."""
