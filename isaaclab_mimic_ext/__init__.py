"""GPU-parallel, vectorised generation of robot demonstrations for Isaac Lab."""

__version__ = "0.1.0"
