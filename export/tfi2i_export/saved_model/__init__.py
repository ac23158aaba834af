"""SavedModels for TF Serving: writing, checking and running them."""
