"""Replay recorded actions: how many demos succeed again, and how far their objects end up from where they were.

    python scripts/replay_demos.py input_file=generated.hdf5
    python scripts/replay_demos.py input_file=generated.hdf5 num_demos=20 sim=mujoco video_file=replayed.mp4 --json

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("replay_demos")
