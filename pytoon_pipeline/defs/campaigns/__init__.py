"""The assets and pages of campaigns."""
