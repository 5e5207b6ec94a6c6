"""Check that an engine keeps the contract of all engines; report each rule that it does not keep.

    python scripts/check_engine.py planar:PlanarEnv
    python scripts/check_engine.py planar:PlanarEnv task=desktop_organizer json=true

Exit code: 0 if all rules are kept, 1 if one is not, 2 if the engine is not found.
`--help` shows all fields. The same as `mimic check-engine`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("check_engine")
