"""Generate demos from annotated source demos.

    python scripts/generate.py task=desktop_organizer num_envs=100 --headless
    python scripts/generate.py input_file=annotated.hdf5 output_dir=run generation_num_trials=50 seed=3
    python scripts/generate.py -m seed=1,2,3 subtask_configs.franka.0.action_noise=0.01

`--help` shows all fields. The same as `mimic generate`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("generate")
