"""Square peg: a Franka puts a square nut on a square peg, as in the task Square of MimicGen."""
