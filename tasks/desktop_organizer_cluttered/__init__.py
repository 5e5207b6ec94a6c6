"""Cluttered desktop organizer: tall obstacles between ketchup bottle and basket must stay upright."""
