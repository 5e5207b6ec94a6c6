"""Say what became of a run's trials: one HTML page with success by subtask, place and source, and why trials fail.

    python scripts/report.py output_dir=run
    python scripts/report.py output_dir=run num_failures=5 report_file=/tmp/report.html
    python scripts/report.py output_dir=run pictures=false

Works while the run goes on, too. `--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("report")
