"""Environments: the protocol, the MuJoCo and kinematic engines, and the adapter for Isaac Lab."""
