"""Train a policy with robomimic (`make train-env` installs it).

    python scripts/train.py task=desktop_organizer algo=bc dataset=datasets/run/demo.hdf5 epochs=200
    python scripts/train.py --task desktop_organizer --algo bc_rnn --dataset datasets/run/demo.hdf5
    python scripts/train.py dataset=demo.hdf5 agent.train.batch_size=256 agent.algo.actor_layer_dims=[512,512]
    python scripts/train.py dataset=demo.hdf5 output_dir=logs/robomimic/mine resume=true epochs=400
    python scripts/train.py -m dataset=demo.hdf5 seed=1,2,3

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("train")
