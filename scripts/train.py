"""Train a policy on a split dataset, with robomimic (`make train-env` installs it).

    python scripts/train.py task=desktop_organizer algo=bc input_file=datasets/run/demo.hdf5 epochs=200
    python scripts/train.py input_file=demo.hdf5 agent.train.batch_size=256 agent.algo.actor_layer_dims=[512,512]
    python scripts/train.py input_file=demo.hdf5 output_dir=logs/robomimic/mine resume=true epochs=400

`--help` shows all fields. The same as `mimic train`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("train")
