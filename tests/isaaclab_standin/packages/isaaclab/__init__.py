"""Package without imports."""
