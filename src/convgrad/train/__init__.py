"""Training a small network on real images with our layer and our gradients: the main job, end to end."""
