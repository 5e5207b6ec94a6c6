"""Conversion between dataset layouts."""
