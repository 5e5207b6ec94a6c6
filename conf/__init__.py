"""The configuration files; installed as `isaaclab_mimic_ext.conf`."""
