"""Media files: fetching, probing, decoding, encoding, linking, sound and measuring. The package
knows nothing of plans."""
