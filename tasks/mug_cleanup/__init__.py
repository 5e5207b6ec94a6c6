"""Mug cleanup: a Franka opens a drawer, puts a mug into it, and closes the drawer."""
