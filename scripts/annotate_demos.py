"""Replay recorded demos and mark the boundaries of their subtasks.

    python scripts/annotate_demos.py input_file=raw.hdf5 output_file=annotated.hdf5
    python scripts/annotate_demos.py input_file=raw.hdf5 output_file=skills.hdf5 annotate_subtask_start_signals=true

`--help` shows all fields. The same as `mimic annotate`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("annotate_demos")
