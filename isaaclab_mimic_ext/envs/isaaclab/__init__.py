"""Isaac Lab as an engine: any registered Mimic env behind the `MimicEnv` protocol. Isaac Lab is imported when first used."""
