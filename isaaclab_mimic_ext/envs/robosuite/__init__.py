"""robosuite as an engine: environments in worker processes of a different Python, which has robosuite and its MuJoCo."""
