"""Code that runs the real Isaac Lab 2.3 in a separate process, and the interface of the tests to this process."""
