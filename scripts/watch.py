"""Watch a run on a page in the browser: environments in motion, success, reasons of failure, ended trials again.

    python scripts/watch.py input_dir=run

`--help` shows all fields. The same as `mimic watch`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("watch")
