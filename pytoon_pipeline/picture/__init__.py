"""How a frame is drawn: layout, text, motion, overlays. Knows NumPy and OpenCV, no ffmpeg."""
