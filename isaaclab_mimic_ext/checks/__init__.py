"""Checks of source demos before generation."""
