"""Isaac Lab as an engine: any registered Mimic env behind our `MimicEnv` protocol. Isaac Lab is imported late."""
