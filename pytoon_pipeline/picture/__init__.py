"""Draw frames: layers, text, movement and transitions. The package uses NumPy and OpenCV, not
ffmpeg."""
