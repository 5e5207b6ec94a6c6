"""robosuite's NutAssemblySquare: a Panda puts a square nut on a square peg."""
