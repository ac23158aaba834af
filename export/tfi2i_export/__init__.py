"""Export of trained translators to TFLite and SavedModel: nothing is in this release yet."""
