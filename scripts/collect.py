"""Collect the blocks of a run into one dataset, which is that of one process with the same seed and target.

    python scripts/collect.py output_dir=run
    python scripts/collect.py output_dir=run num_trials=5000

`--help` shows all fields. The same as `mimic collect`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("collect")
