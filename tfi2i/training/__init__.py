"""Training: `keras.Model.fit` with reports, samples, checkpoints and validation around it."""
