"""Report the results of a sweep as a table and a plot: success of generation and policies for each swept value.

    python scripts/generate.py +sweep=action_noise
    python scripts/sweep_report.py input_dir=sweeps/action_noise/<date>

`--help` shows all fields. The same as `mimic sweep-report`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("sweep_report")
