"""Measure the success rate of policies on held-out scenes, and report reasons of failure.

    python scripts/evaluate.py task=desktop_organizer checkpoint=logs/robomimic/desktop_organizer/bc/<date> num_episodes=300
    python scripts/evaluate.py checkpoint=best.pth randomization_scale=1.5 observation_noise=0.005
    python scripts/evaluate.py policy=my_module:make_policy horizon=400

`--help` shows all fields. The same as `mimic evaluate`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("evaluate")
