"""The complete plan of a video (RenderSpec): its model, its timeline, the jobs of its segments."""
