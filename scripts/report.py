"""Write an HTML page about a run, finished or in progress: success by subtask, place and source demo, reasons of failure.

    python scripts/report.py input_dir=run
    python scripts/report.py input_dir=run num_failures=5 output_file=/tmp/report.html
    python scripts/report.py input_dir=run pictures=false

`--help` shows all fields. The same as `mimic report`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("report")
