"""Desktop organizer: a Franka puts a ketchup bottle into a basket among distractors."""
