"""robosuite's PickPlaceCan: a Panda puts a can into a compartment of a bin."""
