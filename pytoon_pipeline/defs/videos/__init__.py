"""The assets, checks, jobs and sensors of videos."""
