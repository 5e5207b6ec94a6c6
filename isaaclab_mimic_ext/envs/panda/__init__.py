"""The Franka Emika Panda: kinematics, shape, MuJoCo model."""
