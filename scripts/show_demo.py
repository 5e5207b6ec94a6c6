"""Write an HTML page about one demo of a dataset: frames, subtasks, signals, actions, source demos, trial and seed.

    python scripts/show_demo.py run/demo.hdf5 demo=demo_12
    python scripts/show_demo.py input_file=annotated.hdf5 demo=demo_3 output_file=/tmp/demo_3.html

`--help` shows all fields. The same as `mimic show`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("show_demo")
