"""robosuite's Door: a Panda turns the handle of a door and pulls the door open."""
