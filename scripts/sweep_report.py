"""Report on a sweep: success of generation and of policies against what was swept, as a table and a plot.

    python scripts/generate.py +sweep=action_noise
    python scripts/sweep_report.py sweep_dir=sweeps/action_noise/<date>

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("sweep_report")
