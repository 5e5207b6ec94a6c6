"""Record, annotate, generate, split, train and evaluate, and write a page about the results. Finished steps are skipped.

    python scripts/pipeline.py preset=quick
    python scripts/pipeline.py preset=normal seeds=[1,2,3]
    python scripts/pipeline.py preset=normal task=stack_cube 'generate=["all_subtasks.action_noise=0.01"]'

`--help` shows all fields. The same as `mimic pipeline`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("pipeline")
