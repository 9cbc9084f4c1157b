"""Many systems at once: batches on one device."""
