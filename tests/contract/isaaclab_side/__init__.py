"""What runs in a process of its own, with the real Isaac Lab 2.3 in it, and what its answers are asked for with."""
