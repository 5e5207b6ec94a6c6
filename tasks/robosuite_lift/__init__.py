"""robosuite's Lift: a Panda lifts a cube."""
