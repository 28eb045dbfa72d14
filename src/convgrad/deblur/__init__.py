"""Images and volumes made sharp again: Richardson-Lucy, with or without total variation, with or without a known blur.

psf          the blur: a Gaussian, or a file
blur         what a blur does to a scene larger than the picture, and the two gradients
iterations   one step of the scene, one of the point spread function; lazy, on Dask arrays of any size
images       PNG, TIFF and Zarr, as Dask arrays and back
run          step by step on the disk, within a limit of memory, going on where it was stopped
"""
