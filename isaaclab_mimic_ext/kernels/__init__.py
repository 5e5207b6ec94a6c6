"""Warp kernels, each with a host function and a twin in torch operations."""

import warp as wp

wp.config.log_level = wp.LOG_WARNING
wp.init()
