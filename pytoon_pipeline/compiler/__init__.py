"""How a brief becomes a plan: the passes, and the presets and brand kits that they read."""
