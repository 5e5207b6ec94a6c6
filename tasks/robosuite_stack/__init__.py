"""robosuite's Stack: a Panda puts a small cube onto a larger one."""
