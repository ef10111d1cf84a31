"""Looking into a training run."""
