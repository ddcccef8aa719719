"""Triplet contrast of clouds, images and text: the training of OpenShape, ULIP, TAMM and Uni3D."""
