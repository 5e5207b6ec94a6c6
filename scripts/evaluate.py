"""Judge policies: how often they solve a task on scenes that no demonstration was made in, and why they fail.

    python scripts/evaluate.py task=desktop_organizer checkpoint=logs/robomimic/.../models/model_epoch_200.pth
    python scripts/evaluate.py checkpoint=logs/robomimic/desktop_organizer/bc/... num_envs=100 num_episodes=300
    python scripts/evaluate.py checkpoint=best.pth randomization_scale=1.5 observation_noise=0.005
    python scripts/evaluate.py checkpoint=best.pth push_probability=0.01 push_velocity=0.3
    python scripts/evaluate.py policy=my_module:make_policy horizon=400

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("evaluate")
