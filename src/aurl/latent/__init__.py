"""What is inside the latents of a model: what they say of music, how well they say it, and what they do to it."""
