"""Point encoders: networks that turn point clouds into features of a CLIP's space, on plain PyTorch."""
