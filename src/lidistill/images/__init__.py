"""Camera images: what their files hold, and how they are decoded and resized."""
