"""Nothing is imported with it."""
