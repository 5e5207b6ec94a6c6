"""Record source demos on a page in the browser.

    python scripts/studio.py task=desktop_organizer

`--help` shows all fields. The same as `mimic studio`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("studio")
