"""Media files: probing, decoding, encoding, linking, sound and measuring. Knows no spec."""
