"""robosuite's TwoArmLift: two Pandas lift a pot by its handles."""
