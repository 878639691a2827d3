"""What the views of a discriminator cost."""
