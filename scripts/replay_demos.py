"""Replay the actions of a dataset; report success, and the distance of object poses from the recorded ones.

    python scripts/replay_demos.py input_file=generated.hdf5
    python scripts/replay_demos.py input_file=generated.hdf5 num_demos=20 sim=mujoco output_file=replayed.mp4 json=true

`--help` shows all fields. The same as `mimic replay`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("replay_demos")
