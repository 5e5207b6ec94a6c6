"""Pictures of MuJoCo Warp's ray caster as bytes, one thread per pixel."""

# N worlds (envs), P pixels of all pictures of an env

import warp as wp


@wp.kernel(enable_backward=False)
def unpack_kernel(packed: wp.array(dtype=wp.uint32, ndim=2), pictures: wp.array(dtype=wp.uint8, ndim=3)):
    """Red, green and blue (N, P, 3) of packed colors (N, P), whose lowest byte is blue."""
    n, pixel = wp.tid()
    color = packed[n, pixel]
    pictures[n, pixel, 0] = wp.uint8((color >> wp.uint32(16)) & wp.uint32(255))
    pictures[n, pixel, 1] = wp.uint8((color >> wp.uint32(8)) & wp.uint32(255))
    pictures[n, pixel, 2] = wp.uint8(color & wp.uint32(255))
